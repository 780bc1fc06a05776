"""Pictures of the site and of a slide for the README, taken in a real browser.

Chromium shows what `ncf book` and `ncf slides` have built; nothing else is asked for.
"""

from __future__ import annotations

import functools
import http.server
import io
import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDE = {"width": 1280, "height": 800}
LESSON = "book/notebooks/06_gmf_pytorch.html#What-it-learned"
# Name -> address below the build folder, and how the browser opens it.
SHOTS = {
    "promise": ("book/index.html", {"viewport": WIDE, "device_scale_factor": 2}),
    "site": ("book/index.html", {"viewport": WIDE}),
    "lesson": (LESSON, {"viewport": WIDE}),
    "lesson-dark": (LESSON, {"viewport": WIDE, "color_scheme": "dark"}),
    "lesson-phone": (LESSON, {"viewport": {"width": 390, "height": 844}}),
    "explorer": ("book/results.html", {"viewport": WIDE}),
    "slide": ("slides/06_gmf_pytorch.html#/6", {"viewport": {"width": 1280, "height": 720}}),
}
PARTS = {"promise": ".promise"}  # of these only the element that a CSS selector names
COLORS = 256  # of a palette, which makes a picture small; with fewer, thin lines lose their colour


def take_screenshots(build="build", folder="docs/screenshots", report=print) -> list[Path]:
    """Take each of the `SHOTS` and write it as a PNG file.

    Args:
        build: folder that holds the site and the slides.
        folder: the pictures go here; a picture that is there is replaced.
        report: is called with a line for each picture.

    Returns:
        The pictures' files.

    Raises:
        FileNotFoundError: the site, the slides or a browser is missing.
    """
    from PIL import Image
    from playwright.sync_api import sync_playwright

    build, written = Path(build), []
    for page, command in (("book/index.html", "book"), ("slides/index.html", "slides")):
        if not (build / page).is_file():
            raise FileNotFoundError(f"{build / page} is not there: `ncf {command}` makes it")
    Path(folder).mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, served(build) as address:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        for name, (page_address, options) in SHOTS.items():
            page = browser.new_page(**options)
            page.goto(f"{address}/{page_address}", wait_until="networkidle")
            page.evaluate("() => document.fonts.ready")
            part = page.locator(PARTS[name]) if name in PARTS else page
            picture = Image.open(io.BytesIO(part.screenshot())).convert("RGB")
            page.close()
            path = Path(folder) / f"{name}.png"
            picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
            written.append(path)
            report(f"{path}  {path.stat().st_size / 1000:.0f} kB")
        browser.close()
    return written


def find_chromium() -> str:
    """The path of a Chromium: what ``CHROMIUM`` names, or the first one installed."""
    named = os.environ.get("CHROMIUM")
    names = [named] if named else BROWSERS
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        said = f"CHROMIUM={named} is no program" if named else "no Chromium is installed"
        raise FileNotFoundError(said)
    return path


@contextmanager
def served(folder):
    """The address of a folder, served on a free port of this machine for as long as it is used."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
