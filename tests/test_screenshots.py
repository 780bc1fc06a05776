"""The README's pictures: all there, small, and none that nobody shows."""

import re
import threading

import pytest
from PIL import Image

from ncf_utils.cli import main
from ncf_utils.screenshots import COLORS, PARTS, SHOTS, find_chromium, served


def test_the_readme_shows_every_picture_with_words_for_it(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"!\[([^]]*)\]\(docs/screenshots/([\w-]+)\.png\)", text))
    assert set(shown.values()) == set(SHOTS)
    assert all(len(words.split()) >= 5 for words in shown)
    assert {path.stem for path in (root / "docs/screenshots").iterdir()} == set(SHOTS)


@pytest.mark.parametrize("name", SHOTS)
def test_a_picture_is_small_and_holds_something(root, name):
    path = root / "docs/screenshots" / f"{name}.png"
    assert path.stat().st_size < 200_000
    with Image.open(path) as picture:
        viewport = tuple(SHOTS[name][1]["viewport"].values())
        assert picture.mode == "P"
        assert picture.width > 1000 if name in PARTS else picture.size == viewport
        counts = sorted(number for number, _ in picture.getcolors(COLORS))
    assert len(counts) > 8 and counts[-1] < 0.97 * picture.width * picture.height


def test_what_is_missing_is_named(tmp_path, capsys, monkeypatch):
    assert main(["screenshots", "--build", str(tmp_path)]) == 2
    assert "index.html is not there: `ncf book` makes it" in capsys.readouterr().err
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="none is no program"):
        find_chromium()


def test_a_server_ends_with_an_error_too(tmp_path):
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), served(tmp_path):
        (listening,) = set(threading.enumerate()) - before
        raise ZeroDivisionError
    listening.join(timeout=10)
    assert not listening.is_alive()
