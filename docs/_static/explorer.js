// Sorts and filters the table of results. Without this script the table is there, and whole.
"use strict";

const explorer = document.getElementById("explorer");
const body = explorer.querySelector("tbody");
const rows = [...body.rows];
const heads = [...explorer.querySelectorAll("th")];
const names = heads.map((head) => head.dataset.column);
const cell = (row, name) => row.cells[names.indexOf(name)].textContent;

// --- filters: text, and one value of each of these columns
const CHOICES = ["dataset", "source", "model", "framework", "factors", "negatives"];
const value = (row, name) => (name === "dataset" ? row.dataset.dataset : cell(row, name));

const form = document.createElement("form");
form.addEventListener("submit", (event) => event.preventDefault());

function labelled(text, control) {
  const label = document.createElement("label");
  label.append(text, control);
  form.append(label);
  return control;
}

function choice(name, text, options) {
  const select = document.createElement("select");
  select.name = name;
  for (const [value, shown] of options) select.add(new Option(shown, value));
  return labelled(text, select);
}

function inOrder(a, b) {
  return a - b || (isNaN(a - b) ? a.localeCompare(b) : 0);
}

for (const name of CHOICES) {
  const values = [...new Set(rows.map((row) => value(row, name)))].filter(Boolean).sort(inOrder);
  const all = name === "dataset" ? [] : [["", "all"]];
  choice(name, name === "dataset" ? "data set" : name, [...all, ...values.map((v) => [v, v])]);
}
const search = labelled("contains", document.createElement("input"));
search.type = "search";
search.name = "contains";
const sorting = choice(
  "sort",
  "sort by",
  heads.flatMap((head) => {
    const title = head.textContent;
    return [
      [`${head.dataset.column} ascending`, `${title} ↑`],
      [`${head.dataset.column} descending`, `${title} ↓`],
    ];
  }),
);
const told = document.createElement("p");
told.setAttribute("role", "status");

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits = (name) => !form.elements[name].value || form.elements[name].value === value(row, name);
    row.hidden = !(CHOICES.every(fits) && words.every((word) => text.includes(word)));
    shown += !row.hidden;
  }
  told.textContent = `${shown} of ${rows.length} rows`;
}

// --- sorting: an empty cell comes last, whichever way
function sort() {
  const [name, way] = sorting.value.split(" ");
  const head = heads[names.indexOf(name)];
  const sign = way === "ascending" ? 1 : -1;
  for (const other of heads) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", way);
  const compare = (a, b) => {
    const [x, y] = [cell(a, name), cell(b, name)];
    if (!x || !y) return !x - !y;
    return sign * ("numbers" in head.dataset ? x - y : x.localeCompare(y));
  };
  rows.sort(compare);
  body.append(...rows);
}

for (const head of heads) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const first = "numbers" in head.dataset ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const way = head.getAttribute("aria-sort") === first ? second : first;
    sorting.value = `${head.dataset.column} ${way}`;
    sort();
  });
}

form.addEventListener("input", (event) => (event.target === sorting ? sort() : filter()));
explorer.prepend(form, told);
form.elements.dataset.value = "ml-1m";
sorting.value = "hr descending";
filter();
sort();
