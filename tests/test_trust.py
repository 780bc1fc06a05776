"""`python -m trust`: each kind of trial, small, and that the judges see what is wrong."""

import json
import os
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf_utils.errors import DataError
from trust import __main__ as trust_main
from trust import archives, faults, fuzz, kills, oracle, page, sweep_kills, training_kills
from trust.elsewhere import elsewhere

# --- broken files --------------------------------------------------------------------------------


def test_no_broken_file_is_lost(capsys):
    """Some hundreds of inputs of every kind, the same each time; the command tries far more."""
    figures, _ = fuzz.measure(inputs=len(fuzz.KINDS) * 50, seed=1)
    assert capsys.readouterr().out == ""
    assert set(figures) == set(fuzz.KINDS)
    for row in figures.values():
        assert row["tried"] == 50 == row["read right"] + row["caught"] and row["lost"] == 0
        assert row["read right"] >= 5 and row["caught"] >= 5


BYTES = [bytes([byte]) for byte in b'0123456789.-+eE \t\n\r,:"\x00\xff'] + [b"\xef\xbb\xbf", b"::"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["ratings.csv", "ratings.dat", "u.data"]), st.data())
def test_any_line_of_a_table_is_judged_alike(kind, data):
    """Lines of any bytes that numbers and their surroundings are made of."""
    sep = fuzz.SEPARATORS[kind]
    field = st.sampled_from(fuzz.HOSTILE) | st.lists(st.sampled_from(BYTES), max_size=5).map(
        b"".join
    )
    line = st.lists(field | st.just(b"7"), min_size=4, max_size=4).map(sep.join)
    lines = [b"1,2,3,4".replace(b",", sep), *data.draw(st.lists(line, max_size=3))]
    header = [oracle.HEADERS[kind].encode()] if kind == "ratings.csv" else []
    outcome, why = fuzz.judge(kind, {kind: b"\n".join([*header, *lines])})
    assert outcome != "lost", why


@pytest.mark.parametrize(
    "number, read, why",
    [
        (0, lambda *_: 1 / 0, "crashed: ZeroDivisionError"),
        (0, lambda *_: int("x"), "crashed: ValueError"),
        (0, lambda *_: time.sleep(9), "not done after 0.2 s"),
        (0, lambda *_: [[1], [2], [3], [4]], "read as"),
        (0, lambda *_: refuse("data/ratings.csv, line 1: expected x"), "a valid input was refused"),
        (1, lambda *_: refuse("data/u.data: something"), "does not say what is wrong where"),
        (1, lambda *_: refuse("data/u.data, line 9: expected x"), "names ('u.data', 9), not one"),
        (1, lambda *_: refuse("data/ratings.dat, line 1: expected x"), "names ('ratings.dat', 1)"),
        (1, lambda *_: [[7], [1], [4], [100]], "accepted, in spite of [('u.data', 2)]"),
    ],
)
def test_the_judge_sees_what_is_wrong(monkeypatch, number, read, why):
    kind, files = [
        ("ratings.csv", {"ratings.csv": b"userId,movieId,rating,timestamp\n7,1,4,100\n"}),
        ("u.data", {"u.data": b"7\t1\t4\t100\n7\t1.5\t4\t100\n"}),
    ][number]
    assert fuzz.judge(kind, files) == (("read", ""), ("refused", ""))[number]
    monkeypatch.setattr(fuzz, "LIMIT", 0.2)
    monkeypatch.setattr(fuzz, "read", read)
    outcome, found = fuzz.judge(kind, files)
    assert outcome == "lost" and why in found


def refuse(message):
    raise DataError(message)


def test_the_oracle_reads_a_title_with_every_mark():
    text = b'\xef\xbb\xbfmovieId,title,genres\r\n7,"a, ""b""\r\nc",x\n\n8, d ,\r'
    found, faults = oracle.movies("movies.csv", {"movies.csv": text})
    assert found == {7: ('a, "b"\r\nc', "x"), 8: ("d", "")} and not faults


def test_an_input_is_the_same_whenever_it_is_made():
    assert fuzz.make(12, 3) == fuzz.make(12, 3) != fuzz.make(12, 4)


# --- archives ------------------------------------------------------------------------------------


def test_archives_made_to_break_something():
    row, lost = archives.try_crafted()
    assert not lost and row["lost"] == 0
    assert row["tried"] == len(archives.crafted()) == row["caught"] + row["read right"]


@pytest.mark.parametrize("trial", [archives.try_spoiled, archives.try_caches])
def test_archives_and_caches_with_changed_bytes(trial):
    row, lost = trial(60, seed=2)
    assert not lost and row["tried"] == 60 and row["caught"] > 40 and row["read right"] > 0


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda: 1 / 0, "crashed: ZeroDivisionError"),
        (lambda: b"0" * 10 * archives.ROOM, "crashed: MemoryError"),
        (lambda: refuse("elsewhere: expected x"), "does not say what is wrong where"),
    ],
)
def test_the_judge_of_archives_sees_what_is_wrong(tmp_path, monkeypatch, change, why):
    path = tmp_path / "ml-x.zip"
    path.write_bytes(archives.zipped(archives.DATA))
    assert archives._judge(path, True) == ("read right", "")
    assert archives._judge(path, False) == ("lost", "was accepted")
    path.write_bytes(archives.zipped(archives.DATA | {"ratings.csv": fuzz._lines("x")}))
    assert archives._judge(path, False) == ("caught", "")
    assert archives._judge(path, True)[0] == "lost"
    monkeypatch.setattr(archives.readers, "read_ratings", lambda _: change())
    outcome, found = archives._judge(path, None)
    assert outcome == "lost" and why in found


# --- faults and kills ----------------------------------------------------------------------------

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
WORST = ["a-length-that-is-no-number", "redirects-to-a-local-file", "silent-half-way", "no-http"]
WORST += ["compressed-bomb", "endless", "resets-half-way", "one-bit-wrong", "in-chunks"]


def no_loss(trial, *arguments):
    figures, lost = elsewhere(tried, trial, *arguments)
    assert not lost and figures["tried"] == figures["caught"] > 0


def tried(trial, *arguments):
    trials = faults.Trials("test", tell=lambda *_, **__: None)
    trial(trials, *arguments)
    return trials.figures, trials.lost


def dies(left):
    """Die, and leave a copy behind for some seconds."""
    if os.fork() == 0:
        time.sleep(left)
    os._exit(3)


@forks
def test_what_is_done_elsewhere_returns_raises_or_dies():
    assert elsewhere(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        elsewhere(divmod, 7, 0)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="dies.*: its process ended with status 3"):
        elsewhere(dies, 60)
    assert time.monotonic() - start < 30
    assert elsewhere(os.getpid) != os.getpid()


@forks
def test_servers_that_fail():
    """test_download.py has simpler ones; the command has all."""
    no_loss(faults.servers, WORST)


@forks
@pytest.mark.parametrize("trial", [faults.disks, faults.read_only])
def test_disks_and_folders_that_fail(trial):
    no_loss(trial)


def victim(end, number):
    started = kills.Victim(lambda say: say(1 / number))
    return started.kill(2) if end == "kill" else started.wait()


@forks
def test_a_work_that_fails_is_not_taken_for_one_that_was_killed():
    for end in ("wait", "kill"):
        with pytest.raises(RuntimeError, match="the work ended by an error, with status 1"):
            elsewhere(victim, end, 0)
    assert elsewhere(victim, "kill", 1) == (True, ["1.0"])


@forks
def test_processes_that_want_the_same_at_once():
    no_loss(faults.at_once, 1)


@forks
def test_kills_at_random_moments():
    figures, _ = elsewhere(kills.measure, 10)
    assert set(figures) == set(kills.WORKS)
    for name, row in figures.items():
        assert row["tried"] == row["caught"] == 2 and row["lost"] == 0, name


@forks
@pytest.mark.slow
def test_training_that_is_killed():
    figures, _ = training_kills.measure(kills=4, seed=1)
    assert set(figures) == set(training_kills.WORKS)
    for name, row in figures.items():
        assert row["tried"] == row["caught"] == 2 and row["lost"] == 0, name


@forks
@pytest.mark.parametrize("kind", [OSError, AssertionError])
def test_a_trial_that_raises_is_lost(kind):
    told = []
    trials = faults.Trials("this", tell=lambda text, **_: told.append(text))
    with trials.trial("that"):
        raise kind("why")
    with trials.trial("that"):
        pass
    assert trials.figures == {"tried": 2, "caught": 1, "lost": 1}
    assert "this, that: " in told[0] and "why" in told[0]


def test_faults_of_the_rows_of_a_sweep_are_seen(tmp_path):
    def seen(*lines, before=(), complete=False):
        (tmp_path / "tiny.csv").write_text("\n".join(["x,test_hr", *lines, ""]))
        return sweep_kills.faults(tmp_path, set(before), complete)[0]

    assert seen("1,0.01", "2,0.02") == []
    assert seen("1,0.01", "1,0.01") == ["a row that stands there twice"]
    assert seen("1,0.01,") == ["half a row"]
    assert seen("1,0.01", before=["1", "2"]) == ["a row that was there is gone"]
    assert seen("1,0.02") == ["a row with a wrong result"]
    assert seen("1,0.01", complete=True) == ["a run without a row", "a row without its notebook"]


# --- the command and its page --------------------------------------------------------------------


def told(times=3, lost=0):
    row = {"tried": times, "caught": times - lost, "lost": lost, "seconds": 0.5}
    return {"rows": row}, f"{times} were tried."


@pytest.fixture
def kinds(monkeypatch):
    """Kinds whose `measure` is told; their options."""
    module = type(random)("told")
    module.__doc__ = "Told things,\nof two lines.\n\nMore."
    module.measure = told
    monkeypatch.setattr(trust_main, "KINDS", ("told_once", "told_twice"))
    monkeypatch.setattr(trust_main, "import_module", lambda *_: module)


def test_a_kind_is_measured_stored_and_shown(kinds, tmp_path, capsys):
    assert trust_main.main(["--out", str(tmp_path), "told-twice", "--times", "1234"]) == 0
    assert "told_twice tried 1,234 caught 1,234 lost 0" in capsys.readouterr().out
    assert trust_main.main(["--out", str(tmp_path), "told-once", "--lost", "1"]) == 1
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["told_once", "told_twice"], "in the order of the page"
    assert results["told_twice"]["options"] == {"times": 1234, "lost": 0}
    text = (tmp_path / "README.md").read_text()
    assert text == page.render(results)
    assert "| Told things, of two lines | 1,234 |  | 1,234 | 0 |" in text
    assert "| rows | 3 | 2 | 1 | 0.5 |" in text
    assert "`--times 1234` `--lost 0`" in text
    (tmp_path / "README.md").unlink()
    assert trust_main.main(["--out", str(tmp_path), "--page"]) == 0
    assert (tmp_path / "README.md").read_text() == text
    (tmp_path / "results.json").write_text("[")
    with pytest.raises(SystemExit, match="expected results of an earlier run"):
        trust_main.main(["--out", str(tmp_path), "--page"])


def test_every_kind_has_a_heading_and_options_with_defaults():
    for kind in trust_main.KINDS:
        module = __import__(f"trust.{kind}", fromlist=["measure"])
        assert trust_main.title(module)
        options = trust_main._options(module).values()
        assert all(isinstance(default, (int, str)) for default in options)


def test_the_page_kept_here_is_that_of_the_results_kept_here(root):
    folder = root / "trust"
    stored = trust_main.read(folder / "results.json")
    assert (folder / "README.md").read_text(encoding="utf-8") == page.render(stored)
    assert stored
