"""JupyterLab as `make lab` starts it, used as a learner does: run, read, solve, save."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nbformat
import psutil
import pytest

NAME = "01_implicit_feedback"
WRONG = """def share_of_rare(counts, at_most):
    return (np.asarray(counts) < at_most).mean()


check("01.1", share_of_rare)"""

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="make is for other systems"),
    pytest.mark.xdist_group("lab"),  # one server, and a notebook that each test takes on
]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def course(root, tmp_path_factory):
    """A folder with a learner's copy of the course: two notebooks without outputs."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "notebooks").mkdir()
    content = nbformat.read(root / "notebooks" / f"{NAME}.ipynb", as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(content, folder / "notebooks" / f"{NAME}.ipynb")
    shutil.copy(root / "notebooks" / "GLOSSARY.md", folder / "notebooks")
    for beside in (".jupyter", "data", "benchmarks", "sweeps"):
        (folder / beside).symlink_to(root / beside)
    return folder


@pytest.fixture(scope="module")
def lab(root, course, tmp_path_factory):
    """The address of a running `make lab`, with its token, and its process."""
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "NCF_PROGRESS": str(home / "progress.json"),
    }
    # All cells are in the page, also those that one would have to scroll to.
    settings = home / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    options = f"--ServerApp.port={free_port()} --ServerApp.port_retries=0"
    if os.geteuid() == 0:
        options += " --allow-root"
    venv = Path(sys.prefix)
    command = ["make", "-f", str(root / "Makefile"), "lab", f"VENV={venv}", "NO_BROWSER=1"]
    command += [f"LAB_OPTIONS={options}", "-o", str(venv / ".ready")]  # nothing is installed here
    log = home / "lab.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=course, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield started(process, log)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def started(process, log, seconds=60):
    """The address that JupyterLab prints, once it answers."""
    for _ in range(seconds * 5):
        found = re.search(r"http://127\.0\.0\.1:\d+/lab\?token=\w+", log.read_text())
        if found:
            return found.group(), psutil.Process(process.pid)
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    raise AssertionError(log.read_text())


def answer(address):
    """Status and final address of a plain request, which brings no cookie."""
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            return response.status, response.url
    except urllib.error.HTTPError as error:
        return error.code, error.url


def code_cell(page, text):
    """The code cell of the notebook that holds a text."""
    return page.locator(".jp-CodeCell").filter(has_text=text)


def rewrite(page, cell, source):
    """Replace what a cell holds, as with the keyboard, and run it."""
    cell.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(source)
    page.keyboard.press("Shift+Enter")


def open_notebook(page, lab, name):
    """Open a notebook, and nothing that was open before; wait until its kernel is there."""
    address, _ = lab
    with page.expect_websocket(lambda socket: "/api/kernels/" in socket.url, timeout=60_000):
        page.goto(address.replace("/lab?", f"/lab/tree/{name}.ipynb?reset&"))
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def prompts(page):
    return page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()


def wait_for_the_last_cell(page, seconds):
    """Until every code cell has its number; fails at once where one has raised an error."""
    last = page.locator(".jp-CodeCell .jp-InputPrompt").last
    error = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    for _ in range(seconds * 2):
        if error.count():
            raise AssertionError(error.first.inner_text())
        if re.fullmatch(r"\[\d+\]:", last.inner_text()):
            return
        page.wait_for_timeout(500)
    raise AssertionError(f"not done after {seconds} s: {prompts(page)}")


def test_the_server_wants_its_token_and_listens_on_this_machine_only(lab):
    address, make = lab
    url = urlsplit(address)
    bare = f"http://{url.netloc}"
    assert len(parse_qs(url.query)["token"][0]) >= 32
    assert answer(address) == (200, address)
    status, arrived = answer(f"{bare}/lab")
    assert status == 200 and urlsplit(arrived).path == "/login"
    assert answer(f"{bare}/api/contents")[0] == 403
    assert answer(f"{bare}/api/contents?token=wrong")[0] == 403
    open_here = []
    for one in make.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # the server asks others, which soon end
            open_here += one.net_connections("inet")
    waiting = [c for c in open_here if c.status == psutil.CONN_LISTEN]
    assert (url.hostname, url.port) in {tuple(one.laddr) for one in waiting}
    assert {one.laddr.ip for one in waiting} == {"127.0.0.1"}


def test_a_lesson_is_run_solved_and_saved(lab, page, course, root):
    stored = (root / "notebooks" / f"{NAME}.ipynb").read_bytes()
    open_notebook(page, lab, NAME)
    assert set(prompts(page)) == {"[ ]:"} and page.locator(".jp-RenderedImage").count() == 0

    run_all(page)
    wait_for_the_last_cell(page, 90)
    assert prompts(page) == [f"[{n}]:" for n in range(1, len(prompts(page)) + 1)]
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    pictures = page.locator(".jp-RenderedImage img")
    widths = pictures.evaluate_all("all => all.map(one => one.complete && one.naturalWidth)")
    assert len(widths) >= 5 and min(widths) > 300
    assert page.locator(".MathJax, mjx-container").count() > 0  # a formula is typeset

    exercise = code_cell(page, 'check("01.1"')
    told = exercise.locator(".jp-OutputArea-output")
    assert "01.1 is still open: write share_of_rare" in told.inner_text()
    rewrite(page, exercise, WRONG)
    told.filter(has_text="not yet").wait_for()
    assert "Hint: `at most` includes the number itself" in told.inner_text()
    rewrite(page, exercise, WRONG.replace("<", "<="))
    told.filter(has_text="01.1: right").wait_for()

    # What would ask for the news has had its time by now.
    assert page.locator(".jp-toast-message, .Toastify__toast").all_inner_texts() == []

    page.keyboard.press("ControlOrMeta+s")
    page.locator(".jp-mod-dirty").wait_for(state="detached")
    saved = nbformat.read(course / "notebooks" / f"{NAME}.ipynb", as_version=4)
    (cell,) = [cell for cell in saved.cells if 'check("01.1"' in cell.source]
    assert cell.source == WRONG.replace("<", "<=")
    assert "01.1: right" in cell.outputs[0].data["text/plain"]
    assert (root / "notebooks" / f"{NAME}.ipynb").read_bytes() == stored


@pytest.mark.parametrize("term", ["bootstrap", "Hadamard product"])
def test_a_word_leads_to_its_place_in_the_glossary(lab, page, course, term):
    link = f"[a word](GLOSSARY.md#{term.lower().replace(' ', '-')})"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    words = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(link)], metadata=kernel)
    nbformat.write(words, course / "notebooks" / "words.ipynb")
    open_notebook(page, lab, "words")
    page.get_by_role("link", name="a word").click()

    heading = page.locator(".jp-MarkdownViewer h2").filter(has_text=term)
    heading.wait_for()
    above = page.locator(".jp-MarkdownViewer").bounding_box()["y"]
    for _ in range(50):
        if 0 <= heading.bounding_box()["y"] - above < 60:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{heading.bounding_box()['y'] - above} pixels below the top")


def test_a_slider_moves_the_picture(lab, page, course, root):
    """Notebook 10's slider, after the cells that it needs: what is imported, and the first figure.

    Nothing is trained for it.
    """
    whole = nbformat.read(root / "notebooks" / "10_negatives_and_depth.ipynb", as_version=4)
    code = [cell for cell in whole.cells if cell.cell_type == "code"]
    trained = next(i for i, c in enumerate(code) if "parameters" in c.metadata.get("tags", ()))
    slider = next(cell for cell in code if "play.slide(by_negatives" in cell.source)
    for cell in (part := nbformat.v4.new_notebook(cells=[*code[:trained], slider])).cells:
        cell.outputs, cell.execution_count = [], None
    part.metadata = {"kernelspec": whole.metadata.kernelspec}
    nbformat.write(part, course / "notebooks" / "slider.ipynb")
    open_notebook(page, lab, "slider")
    run_all(page)
    wait_for_the_last_cell(page, 60)

    handle = page.locator(".widget-slider [role=slider]")
    shown = page.locator(".widget-html-content img:visible")
    handle.focus()
    before = shown.get_attribute("alt")
    assert before.startswith("HR@10 at ") and shown.evaluate("one => one.naturalWidth") > 300
    page.keyboard.press("ArrowLeft")
    page.locator(f".widget-html-content img[alt='{before}']").wait_for(state="hidden")
    assert shown.count() == 1 and shown.get_attribute("alt") != before
    page.keyboard.press("ArrowRight")
    page.locator(f".widget-html-content img[alt='{before}']").wait_for()
