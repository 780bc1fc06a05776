// What the pages of the course do themselves: they remember the framework that a reader chose.
"use strict";

const FRAMEWORKS = { pytorch: "PyTorch", keras: "Keras" };
const TWIN = /_(pytorch|keras)\.html/;
const page = document.documentElement;

// The framework that a link leads to, or undefined.
function leadsTo(link) {
  return link.pathname.match(TWIN)?.[1];
}

// Whether a link says which framework it leads to; then it is taken at its word.
function saysWhich(link) {
  return Object.values(FRAMEWORKS).some((name) => link.textContent.includes(name));
}

function remember(framework) {
  page.dataset.framework = framework;
  try {
    localStorage.setItem("framework", framework);
  } catch {
    // Without storage the choice holds for this page.
  }
}

// On a page without a twin, links that do not say which framework lead to the reader's own.
function follow() {
  const framework = page.dataset.framework;
  if (!framework || TWIN.test(location.pathname)) return;
  for (const link of document.querySelectorAll(".bd-article a[href], .prev-next-area a[href]")) {
    const step = link.closest(".prev-next-area");
    if (!leadsTo(link) || (saysWhich(link) && !step)) continue;
    link.href = link.getAttribute("href").replace(TWIN, `_${framework}.html`);
    if (!step) continue;
    for (const text of link.querySelectorAll(".prev-next-title")) {
      text.textContent = text.textContent.replace(/PyTorch|Keras/, FRAMEWORKS[framework]);
    }
  }
}

// The twin has the same headings: open it where this page is.
function sameHeading(link) {
  const passed = [...document.querySelectorAll(".bd-article section[id]")].filter(
    (section) => section.getBoundingClientRect().top < innerHeight / 4,
  );
  const [, at] = [passed.shift(), passed.pop()]; // the first is the whole page
  link.hash = at ? at.id : "";
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || !leadsTo(link)) return;
  if (link.closest("nav.framework")) {
    sameHeading(link);
    remember(leadsTo(link));
  } else if (saysWhich(link) && !link.closest(".prev-next-area")) {
    remember(leadsTo(link));
    follow();
  }
});

// What scrolls sideways can be reached with the Tab key; the theme sees to code and outputs.
function reachable() {
  for (const box of document.querySelectorAll(
    ".widget-html-content, mjx-container[display], .scrolls",
  )) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else if (box.tabIndex === 0) box.removeAttribute("tabindex");
  }
}

// What a search finds is shown with the text around it: neither the buttons above it nor TeX.
if (typeof Search !== "undefined") {
  const plain = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const found = new DOMParser().parseFromString(html, "text/html");
    for (const part of found.querySelectorAll(".bd-header-article, #jb-print-docs-body, .prev-next-area"))
      part.remove();
    for (const math of found.querySelectorAll("span.math, div.math"))
      math.textContent = math.textContent.replace(/^\\[([]|\\[)\]]$/g, "");
    return plain(found.documentElement.outerHTML, anchor);
  };
}

// Paper is white.
const paper = matchMedia("print");
paper.addEventListener("change", () => {
  if (paper.matches) {
    page.dataset.onScreen ??= page.dataset.theme;
    page.dataset.theme = "light";
  } else if (page.dataset.onScreen) {
    page.dataset.theme = page.dataset.onScreen;
    delete page.dataset.onScreen;
  }
});

// Widgets ask MathJax to typeset what they hold, as its version 2 was asked.
document.addEventListener("readystatechange", () => {
  if (window.MathJax?.typesetPromise)
    MathJax.Hub ??= { Queue: ([, , element]) => MathJax.typesetPromise([element]) };
});

// Widgets come late. A slider's handle is called as its label says.
function attend() {
  requestAnimationFrame(reachable);
  for (const handle of document.querySelectorAll("[role=slider]:not([aria-label])")) {
    const label = handle.closest(".widget-slider")?.querySelector(".widget-label");
    if (label) handle.setAttribute("aria-label", label.textContent);
  }
}
if (document.querySelector("script[type='application/vnd.jupyter.widget-state+json']"))
  new MutationObserver(attend).observe(document.body, { childList: true, subtree: true });

follow();
addEventListener("load", reachable);
addEventListener("resize", reachable);
