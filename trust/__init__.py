"""Trust, measured: how many broken inputs, faults and kills were tried, and what became of them.

`python -m trust` tries them, writes `results.json`, and makes the page `README.md` from it. Each
kind of trial is a module with a function `measure(**options)`. Its options are whole numbers or
text, and each has a default; it returns (figures, text):

- figures: name of a row -> {column: number}. The columns `tried`, `caught` and `lost` mean the same
  everywhere: what was tried, what was refused or mended as it should be, and what went wrong
  unseen. A module may have more columns.
- text: what was done and found, in Markdown; paragraphs are filled when the page is made.

The first paragraph of a module's docstring is its heading on the page.
"""
