"""Sphinx configuration of the course site; `ncf book` gathers the pages and calls Sphinx."""

import re
from html import escape
from pathlib import Path

import imagesize
from docutils import nodes

project = "Neural Collaborative Filtering, hands on"
author = "The ncf-course authors"
copyright = f"2026 {author}"
language = "en"

extensions = ["myst_nb"]
exclude_patterns = ["_*.md"]  # parts of the first page
templates_path = ["_templates"]

# The notebooks are shown as they are stored.
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {"html-manager/embed.js": {}}
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4
myst_heading_slug_func = "ncf_utils.book.anchor"

# Formulas: a menu would make each of them a stop of the Tab key.
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}

html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_context = {"default_mode": "auto"}
html_css_files = ["course.css"]
# Before anything is drawn, so that nothing moves.
_REMEMBERED = """
try { document.documentElement.dataset.framework = localStorage.getItem("framework") || ""; }
catch { document.documentElement.dataset.framework = ""; }
"""
html_js_files = [(None, {"body": _REMEMBERED}), ("course.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
html_use_index = False
html_theme_options = {
    "logo": {"text": project},
    "navbar_persistent": [],
    "article_header_start": ["toggle-primary-sidebar.html", "framework-switch.html"],
    "footer_content_items": ["copyright.html", "extra-footer.html"],
    "extra_footer": "Text and code: MIT licence. Ratings: MovieLens, under GroupLens' conditions.",
    "show_navbar_depth": 1,
    "max_navbar_depth": 1,
    "show_toc_level": 2,
    "toc_title": "On this page",
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# --- twins: two pages that are the same but for the framework

TWIN = re.compile(r"(.*)_(pytorch|keras)$")
FRAMEWORKS = {"pytorch": "PyTorch", "keras": "Keras"}


def twins(pagename, known):
    """The pages of a pair: framework -> page; empty where the page has no twin."""
    match = TWIN.fullmatch(pagename)
    pair = {name: f"{match[1]}_{name}" for name in FRAMEWORKS} if match else {}
    return pair if set(pair.values()) <= known else {}


def neighbour(app, pagename, step):
    """The next page (step 1) or the one before (-1), past the twin; None at the ends."""
    order = app.env.pages_in_order
    if pagename not in order:
        return None
    own = TWIN.fullmatch(pagename)
    framework = own[2] if own else "pytorch"
    at = order.index(pagename) + step
    while 0 <= at < len(order):
        match = TWIN.fullmatch(order[at])
        if match is None or match[2] == framework:
            return order[at]
        at += step
    return None


def complete_page(app, pagename, templatename, context, doctree):
    """Give a page its description, the switch between frameworks, and its neighbours."""
    if doctree is None:
        return
    context["body"] = together(sized(app, context["body"]))
    pair = twins(pagename, app.env.found_docs)
    context["twins"] = [
        (framework, FRAMEWORKS[framework], app.builder.get_relative_uri(pagename, page))
        for framework, page in pair.items()
    ]
    for name, step in (("prev", -1), ("next", 1)):
        page = neighbour(app, pagename, step)
        if page is None:
            context[name] = None
        else:
            link = app.builder.get_relative_uri(pagename, page)
            context[name] = {"link": link, "title": app.env.titles[page].astext()}
    description = describe(doctree) or f"{context['title']}, a file of the course: {project}"
    context["metatags"] = (
        context.get("metatags", "") + f'\n<meta name="description" content="{description}">'
    )


WIDE = 900  # px; a wider figure, mostly of two parts, stays legible on a phone and scrolls


def sized(app, body):
    """A page's HTML with the size of each figure, so that nothing moves when one arrives."""

    sources = {name: path for path, name in app.builder.images.items()}

    def with_size(match):
        width, height = imagesize.get(Path(app.srcdir, sources[match[2]]))
        image = f'{match[1]} width="{width}" height="{height}"{match[3]}'
        if width <= WIDE or "only-" in image:
            return image
        return f'<span class="wide scrolls" style="--width: {width}px">{image}</span>'

    return re.sub(r'(<img [^>]*src="(?:\.\./)*_images/([^"]+)")([^>]*>)', with_size, body)


def together(body):
    """A page's HTML in which no line begins with the comma or the full stop after a formula."""
    formula = r'<span class="math notranslate nohighlight">[^<]*</span>'
    whole = rf"\(?{formula}[.,;:?!)]+|\({formula}"
    return re.sub(whole, r'<span class="together">\g<0></span>', body)


def describe(doctree, most=155):
    """The page's first sentences, for search engines."""
    text = " ".join(
        paragraph.astext()
        for paragraph in doctree.findall(nodes.paragraph)
        if not isinstance(paragraph.parent, nodes.list_item | nodes.entry)
    )
    text = " ".join(text.split())
    if len(text) > most:
        text = text[:most].rpartition(" ")[0].rstrip(" ,;:") + " …"
    return escape(text)


def order_pages(app, env):
    """Remember the order of the pages in the tables of contents."""
    env.pages_in_order = ["index", *env.toctree_includes["index"]]
    return []


def setup(app):
    app.connect("env-updated", order_pages)
    app.connect("html-page-context", complete_page)
