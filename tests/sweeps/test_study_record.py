"""The record of a study: each trial counts once, whoever else is at it and whoever dies."""

import optuna
import pytest
from optuna.trial import TrialState
from studies import POINTS, overrides, shared_record, together

from aelab.core.errors import SweepError
from aelab.sweeps.messages import record_message
from aelab.sweeps.storage import open_storage
from aelab.sweeps.study import FAILED, open_study
from aelab.training.callbacks.study_reporter import ValidationReport


def record(folder, **options):
    return shared_record(open_storage(None, folder), **options)


def test_two_that_begin_at_once_share_the_points(tmp_path):
    together(record, (tmp_path,), (tmp_path,), (tmp_path,))
    done = overrides(record(tmp_path), TrialState.COMPLETE)
    assert sorted(done) == sorted(point[0] for point in POINTS)


def test_the_trials_of_a_killed_process_are_taken_back(tmp_path):
    together(record, (tmp_path, 7))
    ours = record(tmp_path)
    assert len(overrides(ours, TrialState.COMPLETE)) == 7
    assert ours.is_open()
    together(record, (tmp_path,), (tmp_path, 2))
    together(record, (tmp_path,))
    done = overrides(record(tmp_path), TrialState.COMPLETE)
    assert sorted(done) == sorted(point[0] for point in POINTS)
    assert not record(tmp_path).is_open()


def test_a_trial_that_failed_is_tried_again_as_often_as_asked(tmp_path):
    ours = record(tmp_path, retries=2)
    ours.enqueue(POINTS[:1])
    for _ in range(3):
        ours.end(ours.claim(), TrialState.FAIL, reason=FAILED, error="no")
    assert ours.claim() is None
    assert not ours.is_open()
    (latest,) = ours.latest()
    assert (latest.user_attrs["attempt"], latest.user_attrs["error"]) == (2, "no")
    assert record(tmp_path, retries=3).claim().user_attrs["overrides"] == POINTS[0]


def test_a_sampler_draws_no_more_than_its_budget_whoever_asks(tmp_path):
    ours, theirs = record(tmp_path, budget=5), record(tmp_path, budget=5)
    taken = [trial for _ in range(5) for r in (ours, theirs) if (trial := r.claim()) is not None]
    assert len(taken) == len(ours.trials()) == 5


def test_another_attempt_has_the_same_values(tmp_path):
    ours = record(tmp_path, budget=1, retries=1)
    first = ours.claim()
    drawn = first.suggest_float("lr", 0, 1)
    ours.end(first, TrialState.FAIL, reason=FAILED, error="no")
    assert ours.claim().suggest_float("lr", 0, 1) == drawn


def test_a_report_on_a_trial_that_was_taken_back_ends_it(tmp_path):
    ours = record(tmp_path, budget=1)
    trial = ours.claim()
    ours.end(trial, TrialState.FAIL, reason=FAILED, error="taken back")
    assert record_message(ours, ["val/elbo"], trial, ValidationReport(1, 0.0)) is True


def test_a_torn_line_is_cut_off_the_journal(tmp_path):
    ours = record(tmp_path)
    ours.enqueue(POINTS[:2])
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"x","st')
    again = record(tmp_path)
    again.enqueue(POINTS[:3])
    assert len(record(tmp_path).trials()) == 3
    assert all(line.endswith("}") for line in (tmp_path / "journal.log").read_text().splitlines())


def test_a_study_of_something_else_is_refused(tmp_path):
    record(tmp_path)
    with pytest.raises(SweepError, match="overrides differ"):
        record(tmp_path, question="data=digits")
    asked = {"overrides": ["data=mnist"], "over": [["seed=0"]]}
    with pytest.raises(SweepError, match="its over differ"):
        open_study("s", open_storage(None, tmp_path), {"val/elbo": "maximize"}, asked)


@pytest.mark.parametrize("content", ["my notes", '{"a": 1}\n', "\x00"])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path, content):
    path = tmp_path / "journal.log"
    path.write_text(content)
    with pytest.raises(SweepError, match="no journal of studies"):
        record(tmp_path)
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("postgresql+psycopg://nobody:secret@127.0.0.1:1/none", "cannot be reached"),
        ("nonsense://", "cannot be reached"),
        ("/proc/none/journal.log", "cannot be written"),
    ],
)
def test_a_storage_that_is_out_of_reach_is_refused(tmp_path, where, sentence):
    with pytest.raises(SweepError, match=sentence) as refusal:
        open_storage(where, tmp_path)
    assert "secret" not in str(refusal.value)


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
