"""The page: what was tried, what became of it, and when, from `results.json`."""

from __future__ import annotations

from benchmarks.page import filled, machine_lines, seconds, table

TITLE = "# What was tried against it, and what became of it"
INTRO = """
`python -m trust` tries what can go wrong, and writes this page; nothing on it is typed by hand.
`python -m trust KIND` tries one kind again and leaves the others as they are. *Tried* is how often,
*read right* what was valid all the same and came out right, *caught* what was refused or mended as
it should be, *lost* what went wrong unseen. What is lost is to be zero.
"""
SHARED = ("tried", "read right", "caught", "lost")


def render(results):
    """The whole page.

    Args:
        results: kind -> what `python -m trust` stored of it; a kind that is not there has no
            section.
    """
    sections = [section(entry) for entry in results.values()]
    parts = [TITLE, INTRO, summary(results), *sections, provenance(results)]
    return filled("\n\n".join(part.strip() for part in parts if part)) + "\n"


def summary(results):
    from .__main__ import totals

    rows = [
        (entry["title"], *(number(totals(entry).get(column)) for column in SHARED))
        for entry in results.values()
    ]
    return table(["", *SHARED], rows) if rows else "Nothing has been tried yet."


def section(entry):
    """One kind: its heading, its text and its table."""
    figures = entry["figures"]
    columns = list(dict.fromkeys(column for row in figures.values() for column in row))
    rows = [(name, *(number(row.get(c)) for c in columns)) for name, row in figures.items()]
    return f"## {entry['title']}\n\n{entry['text'].strip()}\n\n{table(['', *columns], rows)}"


def number(value):
    """A figure as text: 12,345, or 0.5; nothing where there is none."""
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def provenance(results):
    if not results:
        return ""
    rows = [
        (
            f"`{kind.replace('_', '-')}`",
            entry["date"],
            seconds(entry["took"]),
            " ".join(f"`--{n.replace('_', '-')} {v}`" for n, v in entry["options"].items()),
        )
        for kind, entry in results.items()
    ]
    told = table(["kind", "date", "took", "with"], rows, left=4)
    return f"## When and where\n\n{told}\n\n{machine_lines(results)}"
