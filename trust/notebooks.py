"""Faults planted in the package and in the lessons

Each is a mistake that is made elsewhere, put into a copy of the checkout; the test that should
notice it, named beside it, must fail.
"""

from __future__ import annotations

import csv
import gc
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

from .mutation import answered, codes_of, copied, forked, load_frameworks, passes
from .outputs import compared

WITH_FRAMEWORKS = ("tests/test_models.py", "tests/test_training.py")
LIMIT = 120  # seconds of CPU for the tests of one fault
METRICS, SAMPLER, SPLIT = (f"tests/test_{n}.py::" for n in ("metrics", "sampler", "data_split"))
MODELS, TRAINING, LESSONS = (f"tests/test_{n}.py::" for n in ("models", "training", "notebooks"))


@dataclass(frozen=True)
class Fault:
    """One mistake.

    Attributes:
        what: in words.
        file: below the checkout.
        change: (old, new), of which old stands once in the file; for a notebook a function that
            changes its content in place.
        test: how the names of the tests begin that should fail.
        only: what else stands in their names.
    """

    what: str
    file: str
    change: object
    test: str
    only: str = ""

    def planted(self, text):
        """The file's text with the mistake.

        Raises:
            ValueError: the code to change is not there once.
        """
        if callable(self.change):
            content = json.loads(text)
            self.change(content["cells"])
            return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        old, new = self.change
        if text.count(old) != 1:
            raise ValueError(f"{self.file}: expected once, found {text.count(old)} times: {old}")
        return text.replace(old, new)


#: (what, module, (old, new), the test that should fail)
IN_THE_PACKAGE = (
    ("NDCG with the natural logarithm", "metrics", ("1 / np.log2(", "1 / np.log("),
     METRICS + "test_ndcg_has_a_logarithm_of_base_two"),
    ("NDCG's rank is off by one", "metrics",
     ("np.log2(rank + 2)", "np.log2(rank + 3)"),
     METRICS + "test_metrics_by_hand"),
    ("HR's list is one too long", "metrics",
     ('check_number("k", k, 1, integer=True), np',
      'check_number("k", k, 1, integer=True) + 1, np'),
     METRICS + "test_metrics_by_hand"),
    ("ties are optimistic", "metrics", ('"pessimistic": last', '"pessimistic": first'),
     METRICS + "test_ties_three_ways_by_hand"),
    ("training items stay in the full ranking", "metrics",
     ("rivals[seen[user].nonzero()] = False", "pass"),
     METRICS + "test_full_ranking_masks_training_items"),
    ("scores that are no numbers are ranked", "metrics", ("if invalid.any():", "if False:"),
     METRICS + "test_nan_is_an_error_that_names_the_row"),
    ("the positive is its own rival", "data",
     ("return rivals & (self.negatives != self.item[:, None])", "return rivals"),
     METRICS + "test_a_candidate_that_is_the_positive_is_no_rival"),
    ("the test item stays in training", "data",
     ("        history = _without(history, latest)\n", ""),
     SPLIT + "test_split"),
    ("the first item is held out, not the last", "split",
     ("order[(first + count - 1)[enough]]", "order[first[enough]]"),
     SPLIT + "test_leave_one_out"),
    ("candidates that the user has touched", "split",
     ('wanted, side="right"', 'wanted, side="left"'),
     SPLIT + "test_candidates_of_a_split"),
    ("time runs backwards", "split",
     ("np.lexsort((np.asarray(time), user))", "np.lexsort((-np.asarray(time), user))"),
     SPLIT + "test_leave_one_out"),
    ("seen items among the negatives", "sampler",
     ("item[hit] = self._sample_exactly(rng, user[hit])", "pass"),
     SAMPLER + "test_epoch_against_a_slow_loop"),
    ("user and item are swapped", "sampler",
     ("return user, item, label", "return item, user, label"),
     SAMPLER + "test_all_strategy_lists_every_pair_once"),
    ("users in the place of positives", "sampler",
     ("item[:, 0] = self.train.item[piece]", "item[:, 0] = self.train.user[piece]"),
     SAMPLER + "test_epoch_groups_keep_a_positive_beside_its_negatives"),
    ("an epoch is not shuffled", "sampler", ("self._rng.shuffle(packed)", "pass"),
     SAMPLER + "test_every_place_of_an_epoch_is_as_likely"),
    ("the same negatives in every epoch", "sampler",
     ("        item[:, 1:] = self.sample(",
      "        self._rng = np.random.default_rng(0)\n        item[:, 1:] = self.sample("),
     SAMPLER + "test_every_epoch_draws_fresh_negatives"),
    ("GMF adds where it should multiply", "torch_ncf",
     ("self.output(p * q)", "self.output(p + q)"),
     MODELS + "test_logits_against_numpy"),
    ("the MLP branch is fed with the MF embeddings", "torch_ncf",
     ("p = self.mlp_user_embedding(user)", "p = self.gmf_user_embedding(user)"),
     MODELS + "test_every_weight_is_trained"),
    ("no ReLU between the layers", "torch_ncf",
     ("F.dropout(self.activation(z), ", "F.dropout(z, "),
     MODELS + "test_logits_against_numpy"),
    ("a sigmoid inside a loss that has one", "torch_ncf",
     ("F.softplus(-logits[:, :1])", "F.softplus(-torch.sigmoid(logits[:, :1]))"),
     MODELS + "test_losses_against_numpy"),
    ("embeddings drawn from N(0, 1)", "torch_ncf", ("std=EMBEDDING_STD", "std=1.0"),
     MODELS + "test_initial_weights"),
    ("the penalty counts biases", "torch_ncf", ('if "bias" not in name:', "if True:"),
     MODELS + "test_penalty_by_hand"),
    ("biases are not copied from the pre-trained models", "training",
     ('alpha * gmf["output.bias"] + (1 - alpha) * mlp["output.bias"]', '0 * gmf["output.bias"]'),
     MODELS + "test_pretrained_weights_are_copied_biases_too"),
    ("alpha reaches the biases only", "training",
     ('[alpha * gmf["output.kernel"], (1 - alpha) * mlp["output.kernel"]]',
      '[gmf["output.kernel"], mlp["output.kernel"]]'),
     MODELS + "test_pretrained_logits_are_a_weighted_mean"),
    ("the epoch is picked on the test items", "training",
     ('get("validation_ndcg", epoch)', 'get("test_ndcg", epoch)'),
     TRAINING + "test_the_epoch_is_picked_on_validation_not_on_test"),
    ("the last epoch is kept, not the best", "training", ("if quality > best:", "if True:"),
     TRAINING + "test_the_epoch_is_picked_on_validation_not_on_test"),
    ("a number is let through unchecked", "parameters",
     ("not isinstance(value, int) or not low <= value <= high", "not isinstance(value, int)"),
     "tests/test_parameters.py::test_a_bad_value_is_named_in_one_line"),
)  # fmt: skip


# --- mistakes in a lesson ------------------------------------------------------------------------


def _code(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def _drawn(cells):
    return next(c for c in _code(cells) if "image/png" in str(c["outputs"]))


def _text(pattern, new, kind="markdown"):
    """A change of the first match in the cells of one kind."""

    def change(cells):
        for cell in cells:
            source = "".join(cell["source"])
            changed = re.sub(pattern, new, source, count=1, flags=re.MULTILINE)
            if cell["cell_type"] == kind and changed != source:
                cell["source"] = changed
                return
        raise ValueError(f"nothing matches {pattern!r}")

    return change


def _printed(text, name="stdout"):
    output = {"name": name, "output_type": "stream", "text": [text]}
    return lambda cells: _code(cells)[-1]["outputs"].append(output)


def _without_asserts(cells):
    cell = next(c for c in _code(cells) if re.search("^assert ", "".join(c["source"]), re.M))
    lines = "".join(cell["source"]).splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.startswith("assert "))
    cell["source"] = "".join([*lines[:first], *lines[first + 1 :]]) or "pass"


def _without_figure(cells):
    cell = next(c for c in _code(cells) if "plt.subplots(" in "".join(c["source"]))
    cell["outputs"] = []


def _without_alt(cells):
    del _drawn(cells)["metadata"]["mystnb"]


def _nothing_compared(cells):
    for cell in _code(cells):
        cell["metadata"].setdefault("tags", []).append("nbval-ignore-output")


def _without_record(cells):
    cell = next(c for c in _code(cells) if re.search(r"^record\(", "".join(c["source"]), re.M))
    cell["source"] = "1"


def _run_twice(cells):
    _code(cells)[3]["execution_count"] = 99


LESSON = "notebooks/05_evaluation.ipynb"
TWIN = "notebooks/06_gmf_pytorch.ipynb"
LINK = _text(r"\]\((\d\d_\w+)\.ipynb", r"](\1s.ipynb")
REMOTE = _text(r"\Z", "\n\n![one](https://a.org/b.png) [x](#y)")
UNUSED = _text(r"^seed = 0", "seed = 0\nspeed = 1", "code")
ANSWER = _text(r"^(## What you can do now\s+(?:.*\n)*?)1\. .*\n", r"\1")
COMPUTED, OTHER = (_text(r"^epochs = .*", f"epochs = {e}", "code") for e in ("2 * 3", "3"))
#: (what, notebook, change, the test that should fail)
IN_LESSONS = (
    ("a figure without its picture", LESSON, _without_figure, "test_outputs_are_stored"),
    ("a missing alt text", LESSON, _without_alt, "test_figures_have_alternative_text"),
    ("a broken link", LESSON, LINK, "test_links_inside_the_course"),
    ("a remote picture", LESSON, REMOTE, "test_links_inside_the_course"),
    ("a lost assert", LESSON, _without_asserts, "test_no_assert_was_lost"),
    ("cells run out of order", LESSON, _run_twice, "test_every_cell_was_run_once_in_order"),
    ("a home folder in an output", LESSON, _printed("/home/ada/x\n"), "test_no_path_address"),
    ("a progress bar in an output", LESSON, _printed("9 12.3it/s\n"), "test_no_path_address"),
    ("a warning in an output", LESSON, _printed("careful\n", "stderr"), "test_no_errors"),
    ("outputs that nothing compares", LESSON, _nothing_compared, "test_most_of_what_is_printed"),
    ("a result that is not recorded", LESSON, _without_record, "test_the_result_is_recorded"),
    ("a parameter that is computed", LESSON, COMPUTED, "test_one_cell_of_parameters"),
    ("a parameter that nothing uses", LESSON, UNUSED, "test_every_parameter_is_used"),
    ("an installation in a cell", LESSON, _text(r"\A", "%pip install x\n", "code"), "test_code_"),
    ("a goal without an answer", LESSON, ANSWER, "test_title_goals_and_answers"),
    ("twins with other headings", TWIN, _text(r"^## ", "## Our "), "test_twins_are_the_same"),
    ("twins with other parameters", TWIN, OTHER, "test_twins_are_the_same"),
)


COMPARED = "notebooks/01_implicit_feedback.ipynb"


def measure(compared=1):
    """Plant every fault in a copy of the checkout, and run the test that should fail.

    Args:
        compared: 0 leaves out the lesson that is executed to compare its stored outputs.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkout = copied(Path(folder) / "checkout")
        parts = {
            "in the package": [f for f in faults() if f.file.startswith("ncf_utils/")],
            "in lessons and results": [f for f in faults() if not f.file.startswith("ncf_utils/")],
        }
        outcomes = {name: tried(checkout, each) for name, each in parts.items()}
        if compared:
            outcomes["in stored outputs"] = stored(checkout)
    figures = {
        name: {
            "tried": len(caught),
            "caught": sum(caught.values()),
            "lost": len(caught) - sum(caught.values()),
        }
        for name, caught in outcomes.items()
    }
    every = {what: caught for each in outcomes.values() for what, caught in each.items()}
    lost = [f"- {what}" for what, caught in every.items() if not caught]
    text = f"Planted, one at a time: {'; '.join(every)}."
    return figures, text + ("\n\nNot noticed:\n\n" + "\n".join(lost) if lost else "")


def faults():
    """All but those in stored outputs."""
    code = [
        Fault(what, f"ncf_utils/{m}.py", change, test) for what, m, change, test in IN_THE_PACKAGE
    ]
    lessons = [
        Fault(what, file, change, LESSONS + test, Path(file).stem)
        for what, file, change, test in IN_LESSONS
    ]
    return [*code, *lessons, _changed_row()]


def _changed_row():
    """A first row whose test HR is 0.01 higher than it was."""
    name, checkout = "data/results/paper-ncf-ml-1m.csv", Path(__file__).parent.parent
    header, first = (checkout / name).read_text(encoding="utf-8").splitlines()[:2]
    (cells,) = csv.reader([first])
    old = cells[header.split(",").index("test_hr")]
    new = first.replace(f",{old},", f",{float(old) + 0.01},", 1)
    test = "tests/test_paper.py::test_each_stored_run_agrees_with_its_own_curves"
    return Fault("a stored result row is changed", name, (first, new), test)


def tried(checkout, each):
    """Plant faults one by one; which of them made their test fail, by what they are."""
    caught = {}
    for file in sorted({fault.test.split("::")[0] for fault in each}):
        those = [fault for fault in each if fault.test.startswith(file)]
        load_frameworks(("torch", "keras") if file in WITH_FRAMEWORKS else ())
        told = answered(checkout, [file], _Planting(checkout, those, checkout / "answers.json"))
        if told["before"]:
            raise RuntimeError(f"{file}: tests fail before anything is planted")
        statuses = zip(those, told["statuses"], strict=True)
        caught |= {fault.what: status != 0 for fault, status in statuses}
    return caught


class _Planting:
    """Plants faults once the tests are collected."""

    def __init__(self, checkout, each, answers):
        self.checkout, self.each, self.answers = checkout, each, answers

    def pytest_runtestloop(self, session):
        due = [
            [item for item in session.items if _starts(item.nodeid, fault)] for fault in self.each
        ]
        if not all(due):
            missing = [fault.test for fault, items in zip(self.each, due, strict=True) if not items]
            raise RuntimeError(f"no such test: {missing}")
        every = [item for item in session.items if any(item in items for items in due)]
        before = forked(lambda: 0 if passes(every) else 1, 10 * LIMIT)
        statuses = []
        for fault, items in zip(self.each, due, strict=True):
            path = self.checkout / fault.file
            text = path.read_text(encoding="utf-8")
            path.write_text(fault.planted(text), encoding="utf-8")
            statuses.append(forked(lambda p=path, i=items: self.plant(p, i), LIMIT))
            path.write_text(text, encoding="utf-8")
        self.answers.write_text(json.dumps({"before": before, "statuses": statuses}))
        return True

    def plant(self, path, items):
        if path.suffix == ".py":
            _recoded(path)
        return 0 if passes(items) else 1


def _starts(name, fault):
    return name.startswith(fault.test) and fault.only in name


def _recoded(path):
    """Give all loaded functions of a module, closures too, the code that its file has now."""
    codes = codes_of(compile(path.read_text(encoding="utf-8"), str(path), "exec"))
    for function in [each for each in gc.get_objects() if isinstance(each, FunctionType)]:
        old = function.__code__
        new = codes.get(old.co_qualname) if old.co_filename == str(path) else None
        # Two lambdas of one function share a name.
        if new and new.co_freevars == old.co_freevars and "<lambda>" not in old.co_qualname:
            function.__code__ = new


def stored(checkout):
    """Change stored outputs of a lesson, each in a cell of its own; which cells nbval minds."""
    path = checkout / COMPARED
    content = json.loads(path.read_text(encoding="utf-8"))
    cells = [
        (number, cell)
        for number, cell in enumerate(_code(content["cells"]))
        if "nbval-ignore-output" not in cell["metadata"].get("tags", ())
    ]
    changed = {}
    for what, kind in (("a number", "text/plain"), ("a table", "text/html"), ("a result", "+json")):
        number, output = next(
            (number, output)
            for number, cell in cells
            for output in cell["outputs"]
            if number not in changed.values() and any(k.endswith(kind) for k in _kinds(output))
        )
        _change(output, kind)
        changed[f"{what} of a stored output"] = number
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    cells = compared([COMPARED], checkout)[path.stem]
    failed = {number for number, came_again in cells.items() if not came_again}
    if failed - set(changed.values()):
        raise RuntimeError(f"{COMPARED}: cells {sorted(failed)} fail, changed are {changed}")
    return {what: number in failed for what, number in changed.items()}


def _kinds(output):
    return output.get("data", {})


def _change(output, kind):
    """Another last digit in what an output shows as one kind."""
    for name, value in output["data"].items():
        if name.endswith(kind):
            text = json.dumps(value)
            at = max(i for i, letter in enumerate(text) if letter.isdigit())
            digit = str((int(text[at]) + 1) % 10)
            output["data"][name] = json.loads(text[:at] + digit + text[at + 1 :])
