"""A resume is honest: other data are refused, and other code or packages leave their trace."""

import numpy as np
import pytest

from aelab.comparison.fairness import commit
from aelab.comparison.run_summaries import read_run
from aelab.core.errors import RunError
from aelab.core.signals import Signals
from aelab.reproduction.recorded_run import read_recorded_run
from aelab.runs import train as training
from aelab.runs.folder import Run, Status
from aelab.runs.provenance import continued_otherwise


def killed(run):
    run.update(status=Status.KILLED)
    return run


@pytest.mark.parametrize("count", [300, 800])
def test_other_data_than_the_runs_are_refused(train, tmp_path, count):
    root = tmp_path / "data.npz"

    def write(seed, count):
        draw = np.random.default_rng(seed)
        x = draw.integers(0, 256, (count, 8, 8)).astype(np.uint8)
        np.savez(root, x_train=x, x_test=x[:50])

    write(0, 800)
    run = killed(train("data=npz", f"data.root={root}", "data.shape=[1,8,8]"))
    before = run.record.read_bytes()
    write(1, count)
    with pytest.raises(RunError, match="not those"):
        training.resume(Run.open(run.path), Signals())
    assert run.record.read_bytes() == before


def test_the_same_code_leaves_who_went_on_from_where(train, capsys):
    run = killed(train("resume_points.every_batches=1"))
    training.resume(Run.open(run.path), Signals())
    (entry,) = run.read()["continued"]
    assert entry["step"] == 3
    assert entry["command"]
    assert "differing" not in entry
    assert "continued otherwise" not in capsys.readouterr().err
    assert read_recorded_run(run.path).gaps() == []


def test_other_code_is_warned_of_recorded_and_told(train, monkeypatch, capsys):
    run = killed(train("resume_points.every_batches=1"))
    git = {"commit": "b" * 40, "branch": None, "dirty": True, "remote": None, "left_out": []}
    monkeypatch.setattr(training, "source", lambda: "other")
    monkeypatch.setattr(training, "tree", lambda: git)
    monkeypatch.setattr(training, "changes", lambda: b"a patch")
    monkeypatch.setattr(training, "packages", lambda: run.read()["packages"] | {"torch": "0.1"})
    training.resume(Run.open(run.path), Signals())
    assert "torch" in (shown := capsys.readouterr().err)
    assert "code " in shown
    (entry,) = run.read()["continued"]
    assert (run.path / entry["patch"]).read_bytes() == b"a patch"
    assert entry["git"] == git
    assert [gap.what for gap in read_recorded_run(run.path).gaps() if gap.what == "continued"] == [
        "continued"
    ]
    assert commit(read_run(run.path)).endswith(", then bbbbbbbbbb+")


def test_what_cannot_change_the_bits_is_no_difference():
    record = {"source": "a", "packages": {"torch": "2", "rich": "1"}, "hardware": {"cpu": "x", "memory": 1}}
    here = {"source": "a", "packages": {"torch": "2", "rich": "2"}, "hardware": {"cpu": "x", "memory": 2}}
    assert continued_otherwise(record, here) == []
    assert continued_otherwise({**record, "hardware": None}, here) == ["cpu none -> x"]
