"""Every slide of every lesson, as a projector of 1280 by 720 shows it."""

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest

from ncf_utils.screenshots import served

from .conftest import missing

ROOT = Path(__file__).resolve().parents[2]
SLIDES = ROOT / "build" / "slides"
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
# Everything of a slide, also what appears at a click, is shown at once.
ALL_SHOWN = ".reveal .fragment { visibility: visible !important; opacity: 1 !important; }"
PROBLEMS_OF_A_SLIDE = r"""
() => {
  const told = [];
  const slide = document.querySelector("section.present section.present");
  if (!/\S/.test(slide.innerText)) told.push("empty");
  if (!slide.querySelector("h1, h2, h3")) told.push("no heading");
  for (const part of slide.querySelectorAll("*")) {
    if (part.closest("aside, .MathJax_Preview, .MJX_Assistive_MathML, script")) continue;
    const box = part.getBoundingClientRect();
    const name = `${part.tagName} ${part.className}`;
    if (!box.width || !box.height) continue;
    if (box.top < 0 || box.left < 0 || box.right > 1280 || box.bottom > 720)
      told.push(`${name} leaves the slide: ${[box.top, box.right, box.bottom].map(Math.round)}`);
    if (part.clientWidth && part.scrollWidth > part.clientWidth + 2)
      if (getComputedStyle(part).overflowX !== "visible") told.push(`${name} has to be scrolled`);
  }
  const buttons = [...document.querySelectorAll(".controls button.enabled")];
  const arrows = buttons.map(button => button.getBoundingClientRect());
  for (const text of slide.querySelectorAll("p, li")) {
    if (text.closest("aside")) continue;
    const lines = document.createRange();
    lines.selectNodeContents(text);
    for (const line of lines.getClientRects())
      if (arrows.some(arrow => line.right > arrow.left && line.left < arrow.right &&
                               line.bottom > arrow.top && line.top < arrow.bottom))
        told.push(`an arrow covers "${text.innerText.slice(0, 40)}"`);
  }
  for (const image of slide.querySelectorAll("img")) {
    if (!image.naturalWidth) told.push("no picture");
    if (image.alt.length < 20) told.push(`alt text "${image.alt}"`);
  }
  const rendered = [...slide.querySelectorAll(".jp-RenderedMarkdown")];
  const texts = rendered.filter(text => !text.closest("aside")).map(text => text.innerText);
  if (slide.querySelector(".merror")) told.push("wrong formula");
  const raw = texts.find(text => /\$|\\[a-z]+/.test(text));
  if (raw) told.push(`not typeset: ${raw}`);
  return told;
}
"""


@pytest.fixture(scope="module")
def slides():
    """The address of the built slides, served from this machine."""
    if not (SLIDES / "index.html").is_file():
        missing("build/slides holds no slides: `make slides` writes them")
    with served(SLIDES) as address:
        yield address


@pytest.fixture
def projector(open_page):
    return open_page(viewport={"width": 1280, "height": 720})


def test_every_lesson_is_listed(projector, slides):
    projector.goto(slides)
    links = projector.locator("li a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert links == [f"{name}.html" for name in NAMES]
    assert all(projector.request.get(f"{slides}/{link}").ok for link in links)
    numbers = re.findall(r"(\d+) slides", projector.locator("ul").inner_text())
    assert len(numbers) == len(NAMES) and min(map(int, numbers)) >= 12


def problems_that_stay(page, tries=40):
    """What is wrong with the slide shown, once formulas and pictures have had time to come."""
    for _ in range(tries):
        told = page.evaluate(PROBLEMS_OF_A_SLIDE)
        if not told:
            break
        page.wait_for_timeout(100)
    return told


@pytest.mark.parametrize("name", NAMES)
def test_every_slide_can_be_projected(projector, slides, name):
    projector.goto(f"{slides}/{name}.html")
    projector.locator(".reveal.ready").wait_for()
    projector.add_style_tag(content=ALL_SHOWN)
    number = projector.locator(".slides > section").count()
    told = []
    for place in range(number):
        projector.evaluate(f"() => {{ location.hash = '#/{place}'; }}")
        projector.locator(f".slides > section:nth-of-type({place + 1}).present").wait_for()
        told += [f"slide {place + 1}: {one}" for one in problems_that_stay(projector)]
    assert told == []
    links = projector.locator(".slides a[href]").evaluate_all("all => all.map(a => a.href)")
    for link in {urljoin(slides, link).split("#")[0] for link in links if link.startswith(slides)}:
        assert projector.request.get(link).ok, link


def test_a_click_brings_what_a_slide_hides_and_the_speaker_has_notes(projector, slides):
    projector.goto(f"{slides}/06_gmf_pytorch.html")
    projector.locator(".reveal.ready").wait_for()
    slide = projector.locator("section.present section.present")
    while not slide.locator(".fragment").count() or not slide.locator("aside.notes").count():
        projector.keyboard.press("PageDown")
    answer = slide.locator(".fragment").first
    assert not answer.is_visible() or answer.evaluate("one => getComputedStyle(one).opacity") == "0"
    projector.keyboard.press("ArrowRight")
    projector.wait_for_function("document.querySelector('section.present .fragment.visible')")
    notes = slide.locator("aside.notes").first
    assert not notes.is_visible() and len(notes.text_content().split()) > 20
