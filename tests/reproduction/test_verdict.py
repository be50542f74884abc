"""Two runs agree to the bit, within a tolerance, or not; what differs is named."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aelab.core.errors import AelabError, RunError
from aelab.reproduction.verdict import Tolerance, Verdict, check_comparable, compare
from aelab.runs.folder import RunFolder
from aelab.training.checkpoint_io import AtomicCheckpointIO

WEIGHTS = {
    "a": torch.tensor([1.0, -0.0, math.nan]),
    "b": torch.tensor(3, dtype=torch.int64),
    "c": torch.zeros(0),
}
LINES = [{"step": 1, "train/loss": 2.5}, {"step": 2, "train/loss": 2.25}]
METRICS = {"test/elbo": -100.0, "test/kl": 0.5}


def folder(path, weights=WEIGHTS, lines=LINES, metrics=METRICS):
    path.mkdir(parents=True)
    run = RunFolder(path)
    run.update(status="finished", metrics=metrics)
    if weights is not None:
        state = {"state_dict": weights}
        for name in ("best.ckpt", "resume-00001-0000000.ckpt"):
            AtomicCheckpointIO().save_checkpoint(state, run.checkpoints / name)
    if lines is not None:
        run.metrics.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return run


@pytest.fixture
def recorded(tmp_path):
    return folder(tmp_path / "recorded")


@pytest.fixture
def compared(recorded, tmp_path):
    def run(tolerance=None, **changed):
        return compare(recorded, folder(tmp_path / "again", **changed), tolerance)

    return run


def test_the_same_bits_are_equal_nan_and_empty_tensors_too(compared):
    found = compared()
    assert (found.verdict, found.why, found.notes, found.largest) == (Verdict.BIT_EQUAL, [], [], {})


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([1.0, 0.0, math.nan])},  # the sign of zero
        {"a": torch.tensor([1.0, -0.0, math.nan], dtype=torch.float64)},
        {"a": torch.tensor([math.nextafter(1.0, 2) + 1e-7, -0.0, math.nan])},
        {"b": torch.tensor([3])},
    ],
)
def test_one_bit_of_one_tensor_is_found_and_named(compared, other):
    found = compared(weights={**WEIGHTS, **other})
    assert found.verdict is Verdict.DIFFERENT
    assert [sentence.partition(":")[0] for sentence in found.why] == [
        "best.ckpt",
        "resume-00001-0000000.ckpt",
    ]
    assert f"1 of 3 tensors differ, most {next(iter(other))}" in found.why[0]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            {"b": torch.tensor(3.0)},
            {"b": torch.tensor(4.0)},
            "1 of 1 tensors differ, most b (relative distance 0.33)",
        ),
        ({"b": torch.tensor(0.0)}, {"b": torch.tensor(4.0)}, "most b (relative distance inf)"),
        ({**WEIGHTS, "n": 3}, {**WEIGHTS, "n": 4}, "1 of 4 tensors differ, most n (relative distance inf)"),
        (WEIGHTS, {**WEIGHTS, "a": torch.ones(3), "b": torch.tensor(4)}, "2 of 3 tensors differ, most a"),
    ],
)
def test_the_tensor_that_is_farthest_off_is_named_with_its_distance(tmp_path, before, after, words):
    runs = folder(tmp_path / "recorded", before), folder(tmp_path / "again", after)
    assert words in compare(*runs, None).why[0]


def test_a_tensor_that_one_run_lacks_is_named(compared):
    found = compared(weights={**WEIGHTS, "extra": torch.zeros(1)})
    assert "extra" in found.why[0]
    assert found.verdict is Verdict.DIFFERENT


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            [LINES[0], {"step": 2, "train/loss": 2.0}],
            "the first is line 2 (train/loss: 2.25 recorded, 2.0 here)",
        ),
        (LINES[:1], "2 lines recorded, 1 here"),
        ([LINES[0], [1]], "the first is line 2"),
        (
            [LINES[0], {"step": 2, "train/loss": 2.25, "\x1b[1m": 1}],
            "line 2 (\\x1b[1m: None recorded, 1 here)",
        ),
    ],
)
def test_the_first_logged_value_that_differs_is_named(compared, lines, sentence):
    (found,) = compared(lines=lines).why
    assert found.startswith("metrics.jsonl: ")
    assert sentence in found


def test_a_tolerance_is_for_the_test_metrics_and_is_kept(compared):
    close = {"test/elbo": -100.9, "test/kl": 0.5}
    found = compared(Tolerance(0.01, 0), metrics=close, weights={**WEIGHTS, "b": torch.tensor(4)})
    assert found.verdict is Verdict.WITHIN
    assert found.largest == {"test/elbo": pytest.approx(0.009)}


@pytest.mark.parametrize(
    "metrics",
    [{"test/elbo": -101.1, "test/kl": 0.5}, {"test/elbo": -100.0}, {**METRICS, "test/kl": None}],
)
def test_beyond_the_tolerance_is_different(compared, metrics):
    assert compared(Tolerance(0.01, 0), metrics=metrics).verdict is Verdict.DIFFERENT


def test_a_metric_that_was_not_recorded_is_a_difference(compared):
    found = compared(Tolerance(1, 1), metrics={**METRICS, "test/mse": 0.1})
    assert found.why == ["test/mse: None recorded, 0.1 here"]
    assert found.verdict is Verdict.DIFFERENT


def test_what_was_not_finite_in_both_runs_is_no_difference(tmp_path):
    metrics = {**METRICS, "test/nll": None}
    runs = [
        folder(tmp_path / name, metrics={**metrics, "test/kl": kl}) for name, kl in (("a", 0.5), ("b", 0.51))
    ]
    found = compare(*runs, Tolerance(0.1, 0))
    assert found.verdict is Verdict.WITHIN
    assert [sentence.partition(":")[0] for sentence in found.why] == ["test/kl"]


def test_other_weights_without_a_test_metric_are_within_no_tolerance(tmp_path):
    other = {**WEIGHTS, "b": torch.tensor(4)}
    runs = [folder(tmp_path / name, w, metrics={}) for name, w in (("a", WEIGHTS), ("b", other))]
    assert compare(*runs, Tolerance(1, 1)).verdict is Verdict.DIFFERENT


def test_weights_that_the_new_run_lacks_are_named(recorded, tmp_path):
    again = folder(tmp_path / "again")
    (again.checkpoints / "best.ckpt").unlink()
    assert compare(recorded, again, None).why == ["best.ckpt: the new run has none"]


def test_a_damaged_checkpoint_is_named_before_anything_is_trained(recorded):
    (recorded.checkpoints / "best.ckpt").write_bytes(b"damage")
    with pytest.raises(RunError, match=r"best\.ckpt is damaged: restore it, or remove it"):
        check_comparable(recorded)


def test_bits_are_asked_for_where_no_tolerance_is_given(compared):
    assert compared(metrics={"test/elbo": -100.0001, "test/kl": 0.5}).verdict is Verdict.DIFFERENT


def test_what_is_gone_is_said_and_nothing_left_is_no_equality(tmp_path):
    again = folder(tmp_path / "again")
    (note,) = compare(folder(tmp_path / "pruned", weights=None), again, None).notes
    assert "weights were not compared" in note
    (note,) = compare(folder(tmp_path / "silent", lines=None), again, None).notes
    assert "metrics.jsonl" in note
    with pytest.raises(AelabError, match="nothing can be compared"):
        compare(folder(tmp_path / "empty", weights=None, lines=None), again, None)


@given(st.floats(0, 1), st.floats(0, 10), st.floats(-1e6, 1e6), st.floats(-1, 1))
def test_the_tolerance_is_what_it_says(relative, absolute, recorded, share):
    allowed = relative * abs(recorded) + absolute
    assert Tolerance(relative, absolute).holds(recorded, recorded)
    assert not Tolerance(relative, absolute).holds(recorded, recorded + 1.01 * allowed + 1e-3)
    assert Tolerance(relative, absolute + 1e-6).holds(recorded, recorded + share * allowed)


@pytest.mark.parametrize("values", [(-1, 0), (0, -1), (math.nan, 0), (0, math.inf)])
def test_no_tolerance_is_negative_or_unbounded(values):
    with pytest.raises(AelabError, match="finite and not negative"):
        Tolerance(*values)


def test_a_study_is_as_good_as_its_worst_run():
    order = [Verdict.BIT_EQUAL, Verdict.WITHIN, Verdict.IMPOSSIBLE, Verdict.DIFFERENT]
    assert [Verdict.worst(order[: n + 1]) for n in range(4)] == order
    assert [verdict.code for verdict in order] == [0, 2, 1, 3]
