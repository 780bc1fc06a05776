"""The course site, page by page, as a reader's browser shows it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from .conftest import missing

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "book"
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.parts and path.name != "search.html"
)
# Pages of code and lists of files all look the same.
SHOWN_FILES = [path for path in PAGES if path.endswith((".py.html", ".yaml.html", "LICENSE.html"))]
# Dark pages differ in what they hold: text, code, formulas, tables, figures, forms.
DARK = [
    "benchmarks/README.html",
    "index.html",
    "ncf_utils/torch_ncf.py.html",
    "notebooks/04_negative_sampling.html",
    "notebooks/06_gmf_pytorch.html",
    "notebooks/GLOSSARY.html",
    "results.html",
]
PHONE = {"width": 390, "height": 844}
PROBLEMS_OF_A_PAGE = r"""
() => {
  const told = [];
  const article = document.querySelector("article.bd-article");
  const description = document.querySelector("meta[name=description]")?.content ?? "";
  if (description.length < 20 || description.length > 170) told.push(`description: ${description}`);
  const titles = article.querySelectorAll("h1").length;
  if (titles !== 1) told.push(`${titles} titles`);
  for (const image of article.querySelectorAll("img:not(.jupyter-widgets img)")) {
    if (image.checkVisibility() && !image.naturalWidth) told.push(`no picture: ${image.src}`);
    if (!image.hasAttribute("width")) told.push(`no size: ${image.src}`);
    if (image.alt.length < 20) told.push(`alt text: ${image.src}: "${image.alt}"`);
  }
  for (const math of document.querySelectorAll(".math"))
    if (!math.querySelector("mjx-container")) told.push(`not typeset: ${math.textContent}`);
  for (const error of document.querySelectorAll("mjx-merror, [data-mjx-error]"))
    told.push(`wrong formula: ${error.textContent}`);
  const seen = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (seen.nextNode()) {
    const text = seen.currentNode.textContent;
    if (/\\[(\[]|\$[^$\s][^$]*\$/.test(text) &&
        !seen.currentNode.parentElement.closest("pre, code, script, style"))
      told.push(`raw formula: ${text}`);
  }
  return told;
}
"""
FIGURES_ON_A_DARK_PAGE = """
() => [...document.querySelectorAll("article.bd-article img")]
  .filter((image) => image.checkVisibility() && !image.classList.contains("only-dark"))
  .map((image) => getComputedStyle(image).backgroundColor)
  .filter((color) => color !== "rgb(255, 255, 255)")
"""


@pytest.fixture(scope="session")
def axe(root):
    """The accessibility checks, as a script."""
    found = sorted((root / "build/npm").glob("axe-core-*/axe.min.js"))
    if not found:
        missing("build/npm holds no axe-core: `make book` fetches it")
    return found[-1].read_text(encoding="utf-8")


def settle(page):
    """Wait until formulas are typeset."""
    page.evaluate("() => window.MathJax?.startup?.promise")


def violations(page, axe, **options):
    """What axe finds serious or critical: one line a rule, with the first places."""
    page.evaluate(axe)
    options |= {"resultTypes": ["violations"]}
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [
        f"{rule['id']}: {len(rule['nodes'])} × {rule['help']}: "
        + "; ".join(node["html"][:150] for node in rule["nodes"][:3])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


def too_wide(page):
    """By how many pixels the page is wider than the window."""
    return page.evaluate("() => document.documentElement.scrollWidth - innerWidth")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_and_open_to_everybody(site, path, page, axe):
    page.goto(f"{site}/{path}")
    settle(page)
    assert page.evaluate(PROBLEMS_OF_A_PAGE) == []
    if page.locator("script[type='application/vnd.jupyter.widget-state+json']").count():
        page.locator(".jupyter-widgets").first.wait_for()
    if path not in SHOWN_FILES[1:]:
        # Contrast takes long, and is much the same everywhere.
        contrast = {"rules": {"color-contrast": {"enabled": path in DARK}}}
        assert violations(page, axe, **contrast) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    # Colours fade from one theme to the other.
    page.evaluate("() => Promise.allSettled(document.getAnimations().map(fade => fade.finished))")
    assert page.evaluate(FIGURES_ON_A_DARK_PAGE) == []
    if path in DARK:
        assert violations(page, axe, runOnly=["color-contrast"]) == []
    page.set_viewport_size(PHONE)
    assert too_wide(page) <= 0


def test_the_pages_that_a_reader_looks_for_are_there():
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert len(notebooks) >= 19
    wanted = {f"notebooks/{name}.html" for name in notebooks} | set(DARK)
    assert wanted <= set(PAGES)


# --- what is to be read can be read ---------------------------------------------------------------


def test_a_line_of_a_hundred_columns_fits_between_the_sidebars(site, page):
    page.goto(f"{site}/notebooks/03_hadamard_product.html")
    lines = page.locator(".cell_input pre").all_inner_texts()
    assert max(len(line) for text in lines for line in text.splitlines()) > 95
    wide = "all => all.filter(box => box.scrollWidth > box.clientWidth + 1).map(b => b.innerText)"
    assert page.locator(".bd-article pre").evaluate_all(wide) == []


def test_a_heading_is_larger_than_those_below_it(site, page):
    page.goto(f"{site}/notebooks/03_hadamard_product.html")
    sizes = [
        page.locator(f".bd-article {level}").first.evaluate(
            "heading => parseFloat(getComputedStyle(heading).fontSize)"
        )
        for level in ("h1", "h2", "h3")
    ]
    assert sizes[0] > sizes[1] > 1.2 * sizes[2] > 16


def test_a_column_stands_below_its_heading(site, page):
    page.goto(f"{site}/notebooks/01_implicit_feedback.html")
    columns = page.locator("table.dataframe").evaluate_all(
        """tables => tables.flatMap(table => [...table.rows[0].cells].map((head, at) =>
             [head, ...[...table.tBodies[0].rows].map(row => row.cells[at])]))
           .map(cells => cells.map(cell => [getComputedStyle(cell).textAlign, cell.innerText,
                                            parseFloat(getComputedStyle(cell).paddingLeft)]))"""
    )
    assert len(columns) > 15
    for column in columns:
        assert len({align for align, *_ in column}) == 1, column
        assert min(padding for *_, padding in column) > 5
    sides = {column[0][1]: column[0][0] for column in columns}
    assert sides["film"] == "left" and sides["stars"] == "right"


def test_code_in_a_table_is_not_broken_within_a_word(site, page):
    page.goto(f"{site}/benchmarks/README.html")
    lines = page.locator("th code").evaluate_all("all => all.map(c => c.getClientRects().length)")
    assert lines and set(lines) == {1}


def test_a_wide_figure_is_legible_on_a_phone_and_scrolls(site, open_page):
    page = open_page(viewport=PHONE)
    page.goto(f"{site}/notebooks/05_evaluation.html")
    shares = page.locator(".bd-article .wide img").evaluate_all(
        "all => all.map(image => image.clientWidth / image.naturalWidth)"
    )
    assert shares and min(shares) > 0.59
    assert page.locator(".wide").first.get_attribute("tabindex") == "0"
    assert too_wide(page) <= 0


# --- links ----------------------------------------------------------------------------------------


class Links(HTMLParser):
    """The anchors of a page, where its links lead, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.leads, self.loads, self.title = {""}, set(), set(), ""
        self.in_title = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.anchors |= {named[name] for name in ("id", "name") if named.get(name)}
        if tag == "a" and "href" in named:
            self.leads.add(named["href"])
        elif tag == "link" and named.get("rel") not in ("index", "search", "next", "prev"):
            self.loads.add(named["href"])
        elif tag in ("img", "script", "source", "iframe") and named.get("src"):
            self.loads.add(named["src"])
        self.in_title = tag == "title"

    def handle_data(self, text):
        if self.in_title:
            self.title += text

    def handle_endtag(self, tag):
        self.in_title = False


@pytest.fixture(scope="module")
def read(site):
    """The pages, read: path -> `Links`."""
    return {path: Links((SITE / path).read_text(encoding="utf-8")) for path in PAGES}


def test_every_link_inside_the_site_leads_somewhere(read):
    broken = []
    for path, page in read.items():
        for lead in sorted(page.leads | page.loads):
            url = urlsplit(urljoin(f"/{path}", lead))
            target = unquote(url.path).lstrip("/") or "index.html"
            if url.scheme or lead.startswith("mailto:"):
                continue
            if not (SITE / target).is_file():
                broken.append(f"{path}: {lead}")
            elif target in read and unquote(url.fragment) not in read[target].anchors:
                broken.append(f"{path}: {lead}: no such anchor")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(read):
    for path, page in read.items():
        assert [lead for lead in page.loads if urlsplit(lead).netloc] == [], path


def test_no_link_leads_to_a_file_of_the_repository_that_the_site_shows_otherwise(read):
    for path, page in read.items():
        inside = {urlsplit(lead).path for lead in page.leads if not urlsplit(lead).scheme}
        assert [to for to in inside if to.endswith((".ipynb", ".md", ".py"))] == [], path


def test_every_page_has_a_title_of_its_own(read):
    titles = [page.title.strip() for page in read.values()]
    assert len(set(titles)) == len(titles)
    assert all("$" not in title and "hands on" in title for title in titles)


# --- finding one's way ----------------------------------------------------------------------------


def test_search_finds_a_word_in_the_notebook_that_explains_it(site, page):
    page.goto(f"{site}/index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("Hadamard")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=Hadamard*")
    first = page.locator("#search-results li a")
    first.first.wait_for()
    found = first.evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert any("03_hadamard_product.html" in link for link in found)
    page.locator("#search-results p.context").nth(len(found) - 1).wait_for()
    told = " ".join(page.locator("#search-results p.context").all_inner_texts())
    assert "System Settings" not in told and "On this page" not in told and "\\(" not in told


def test_the_tab_key_reaches_the_text_first(site, page):
    page.goto(f"{site}/notebooks/01_implicit_feedback.html")
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    assert focused.inner_text() == "Skip to main content" and focused.is_visible()
    page.keyboard.press("Enter")
    assert page.url.endswith("#main-content")
    page.keyboard.press("Tab")
    assert page.evaluate("() => !!document.activeElement.closest('main')")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


@pytest.mark.parametrize(
    ("path", "width", "boxes"),
    [
        ("notebooks/06_gmf_pytorch.html", 390, ".bd-article pre"),
        ("notebooks/14_serving.html", 390, ".widget-html-content:visible"),
        ("results.html", 1000, ".scrolls"),
    ],
)
def test_what_scrolls_sideways_takes_the_focus(site, open_page, path, width, boxes):
    page = open_page(viewport={"width": width, "height": 844})
    page.goto(f"{site}/{path}")
    page.locator(boxes).first.wait_for()
    page.wait_for_timeout(300)  # a widget is reached in the frame after it came
    wide = "box => box.scrollWidth > box.clientWidth + 1"
    scrolled = [box for box in page.locator(boxes).all() if box.evaluate(wide)]
    assert scrolled
    assert all(box.get_attribute("tabindex") == "0" for box in scrolled)


def test_pages_follow_one_another_within_the_framework(site, page):
    page.goto(f"{site}/notebooks/05_evaluation.html")
    visited = []
    for _ in range(4):
        page.locator("a.right-next").click()
        visited.append(page.url.rpartition("/")[2])
    assert visited == [
        "06_gmf_pytorch.html",
        "07_mlp_pytorch.html",
        "08_neumf_pytorch.html",
        "09_two_frameworks_one_model.html",
    ]


def test_a_reader_chooses_a_framework_once(site, page):
    page.goto(f"{site}/notebooks/06_gmf_pytorch.html")
    assert page.locator("nav.framework [aria-current]").inner_text() == "PyTorch"
    settle(page)
    page.locator("#training").evaluate("section => section.scrollIntoView({behavior: 'instant'})")
    page.locator("nav.framework a", has_text="Keras").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/06_gmf_keras.html#training")
    assert page.locator("nav.framework [aria-current]").inner_text() == "Keras"

    page.goto(
        f"{site}/notebooks/05_evaluation.html"
    )  # a link that does not say which, and the next
    for link in page.locator(".bd-article a[href*='06_gmf']", has_not_text="PyTorch").all():
        assert link.get_attribute("href") == "06_gmf_keras.html"
    following = page.locator("a.right-next")
    assert following.get_attribute("href") == "06_gmf_keras.html"
    assert following.inner_text().endswith("06 · GMF in Keras")
    listed = page.locator(".bd-docs-nav a:visible").all_inner_texts()
    assert "06 · GMF in Keras" in listed and "06 · GMF in PyTorch" not in listed

    page.goto(f"{site}/index.html")  # a link that says which is taken at its word
    page.locator(".course a[href$='07_mlp_pytorch.html']").click()
    assert page.url.endswith("/07_mlp_pytorch.html")
    assert page.evaluate("() => localStorage.getItem('framework')") == "pytorch"


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_switch_is_on_one_line_with_the_buttons_and_hides_nothing(site, open_page, width):
    page = open_page(viewport={"width": width, "height": 844})
    page.goto(f"{site}/notebooks/06_gmf_keras.html")
    bar, switch, menu, title = (
        page.locator(found).first.bounding_box()
        for found in (".bd-header-article", "nav.framework", ".primary-toggle", "article h1")
    )
    for box in (switch, menu):
        assert box["y"] >= bar["y"]
        assert box["y"] + box["height"] <= min(bar["y"] + bar["height"], title["y"] + 1)
    assert menu["x"] + menu["width"] <= switch["x"]


def test_without_javascript_the_site_can_be_read(site, open_page):
    page = open_page(java_script_enabled=False)
    page.goto(f"{site}/notebooks/06_gmf_pytorch.html")
    links = page.locator("nav.framework a")
    assert [link.get_attribute("href") for link in links.all()] == [
        "#",
        "06_gmf_keras.html",
    ]
    links.nth(1).click()
    assert page.locator("article h1").inner_text().startswith("06 · GMF in Keras")
    page.goto(f"{site}/results.html")
    assert page.locator("#explorer tbody tr").count() > 150
    assert page.locator("#explorer tbody tr").first.is_visible()


# --- the explorer of results ----------------------------------------------------------------------


@pytest.fixture
def explorer(site, page):
    page.goto(f"{site}/results.html")
    return page


def column(page, name):
    """The shown cells of one column, from top to bottom."""
    at = page.locator("#explorer th").evaluate_all(
        "(heads, name) => heads.findIndex(head => head.dataset.column === name)", name
    )
    return page.locator("#explorer tbody tr:not([hidden])").evaluate_all(
        "(rows, at) => rows.map(row => row.cells[at].textContent)", at
    )


def test_the_explorer_has_every_run_and_every_published_number(explorer):
    import pandas as pd

    files = sorted((ROOT / "data/results").glob("*.csv"))
    published = pd.read_csv(ROOT / "data/reference/published.csv")
    runs = sum(len(pd.read_csv(path)) for path in files)
    rows = explorer.locator("#explorer tbody tr")
    assert rows.count() == runs + len(published)
    assert explorer.locator("#explorer tr[data-ours]").count() == runs
    explorer.select_option("[name=dataset]", "ml-1m")
    explorer.select_option("[name=source]", "Rendle et al., 2020")
    ours = published.query("source == 'rendle2020' and dataset == 'ml-1m'")
    assert sorted(column(explorer, "hr")) == sorted(f"{hr:.3f}" for hr in ours.hr_at_10)


def test_the_explorer_sorts_by_a_heading_and_by_the_list(explorer):
    values = [float(text) for text in column(explorer, "hr")]
    assert values == sorted(values, reverse=True)
    assert explorer.locator("th[data-column=hr]").get_attribute("aria-sort") == "descending"
    explorer.locator("th[data-column=hr] button").focus()
    explorer.keyboard.press("Enter")
    values = [float(text) for text in column(explorer, "hr")]
    assert values == sorted(values)
    assert explorer.locator("th[data-column=hr]").get_attribute("aria-sort") == "ascending"
    explorer.select_option("[name=sort]", "factors descending")
    factors = column(explorer, "factors")
    given = [float(text) for text in factors if text]
    assert given == sorted(given, reverse=True)
    assert factors == [text for text in factors if text] + [""] * factors.count("")
    assert explorer.locator("th[aria-sort]").count() == 1


def test_the_explorer_filters_by_value_and_by_words(explorer):
    explorer.select_option("[name=model]", "NeuMF")
    explorer.select_option("[name=framework]", "keras")
    assert set(column(explorer, "model")) == {"NeuMF"}
    assert set(column(explorer, "framework")) == {"keras"}
    shown = len(column(explorer, "model"))
    assert explorer.locator("#explorer [role=status]").inner_text().startswith(f"{shown} of ")
    explorer.select_option("[name=framework]", "")
    explorer.fill("[name=contains]", "he et al 2017")
    assert set(column(explorer, "source")) == {"He et al., 2017"}
    explorer.fill("[name=contains]", "no such words")
    assert column(explorer, "source") == []


def test_the_explorer_is_cards_on_a_phone(site, open_page):
    page = open_page(viewport=PHONE, color_scheme="dark")
    page.goto(f"{site}/results.html")
    page.select_option("[name=model]", "EASE")
    card = page.locator("#explorer tbody tr:visible").first.bounding_box()
    assert card["width"] <= 390 and card["height"] > 60
    source, model = (
        page.locator(f"#explorer tbody tr:visible td[data-label={name}]").first.bounding_box()
        for name in ("source", "model")
    )
    assert source["y"] == model["y"] and source["x"] + source["width"] <= model["x"]
    assert too_wide(page) <= 0


# --- dark, on paper, from a folder ----------------------------------------------------------------


def luminance(color):
    """The mean of a CSS colour's parts, 0 to 255."""
    return sum(float(part) for part in re.findall(r"[\d.]+", color)[:3]) / 3


COLORS = """
() => {
  const style = getComputedStyle(document.querySelector("article.bd-article p"));
  return [style.color, getComputedStyle(document.body).backgroundColor];
}
"""


def test_the_button_for_dark_pages_is_remembered(site, page):
    page.goto(f"{site}/index.html")
    page.locator(".theme-switch-button:visible").click()
    page.locator(".theme-change-button:visible", has_text="Dark").click()
    text, ground = map(luminance, page.evaluate(COLORS))
    assert text > 180 and ground < 40
    shown = page.locator(".promise img:visible")
    assert shown.count() == 2 and "only-dark" in shown.first.get_attribute("class")
    page.goto(f"{site}/running.html")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"


def test_on_paper_a_page_is_dark_on_white_and_nothing_is_cut_off(site, open_page):
    page = open_page(color_scheme="dark", viewport={"width": 1280, "height": 900})
    page.goto(f"{site}/notebooks/06_gmf_pytorch.html")
    settle(page)
    page.emulate_media(media="print")
    for hidden in (
        ".bd-sidebar-primary",
        ".bd-sidebar-secondary",
        "nav.framework",
        ".prev-next-area",
    ):
        assert not page.locator(hidden).first.is_visible(), hidden
    text, ground = map(luminance, page.evaluate(COLORS))
    assert text < 80 and (ground > 240 or ground == 0)  # transparent counts as black here
    wraps = "boxes => boxes.every(box => getComputedStyle(box).whiteSpace === 'pre-wrap')"
    assert page.locator(".bd-article pre").evaluate_all(wraps)
    assert page.locator("h1:visible").inner_text() == "06 · GMF in PyTorch"
    assert len(page.pdf(format="A4")) > 50_000
    page.emulate_media(media="screen")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")


def test_the_site_opens_from_a_folder(site, page):
    page.goto((SITE / "notebooks/03_hadamard_product.html").as_uri())
    settle(page)
    assert page.evaluate(PROBLEMS_OF_A_PAGE) == []
    assert page.locator("mjx-container").count() > 3


# --- widgets --------------------------------------------------------------------------------------


def notebooks_with_widgets():
    """The notebooks whose stored outputs hold a widget."""
    kind = "application/vnd.jupyter.widget-view+json"
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        if any(kind in out.get("data", {}) for cell in cells for out in cell.get("outputs", ())):
            yield path.stem


@pytest.mark.parametrize("name", list(notebooks_with_widgets()))
def test_widgets_are_drawn_and_fit_on_a_phone(site, open_page, name):
    page = open_page(viewport=PHONE)
    page.goto(f"{site}/notebooks/{name}.html")
    page.locator(".jupyter-widgets:visible").first.wait_for()
    settle(page)
    assert too_wide(page) <= 0
    right = "boxes => Math.max(...boxes.map(box => box.getBoundingClientRect().right))"
    boxes = page.locator(".cell_output :has(> .jupyter-widgets.widget-container)")
    assert boxes.evaluate_all(right) <= PHONE["width"]


def test_a_slider_shows_another_setting_without_a_kernel(site, page):
    page.goto(f"{site}/notebooks/10_negatives_and_depth.html")
    picture = page.locator(".widget-html-content img:visible").first
    before = picture.get_attribute("alt")
    page.locator(".widget-slider [role=slider]").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "before => [...document.querySelectorAll('.widget-html-content img')]"
        ".find(image => image.checkVisibility()).alt !== before",
        arg=before,
    )


def test_a_list_shows_another_user_without_a_kernel(site, page):
    page.goto(f"{site}/notebooks/14_serving.html")
    table = page.locator(".widget-html-content:visible").first
    before = table.inner_text()
    page.locator(".widget-dropdown select").first.select_option(index=1)
    page.wait_for_function(
        "before => [...document.querySelectorAll('.widget-html-content')]"
        ".find(box => box.checkVisibility()).innerText !== before",
        arg=before,
    )
