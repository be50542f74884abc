"""A run has one owner at a time, also where several begin at the same moment."""

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest

from aelab.core.errors import ResumeError
from aelab.core.signals import Signals
from aelab.runs import train as training
from aelab.runs.fit import owned
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.train import resume

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def killed(train):
    run = train("resume_points.every_batches=1")
    run.update(status=Status.KILLED)
    return run


def _own(folder, barrier, ending, owners):
    barrier.wait()
    try:
        with owned(folder):
            owners.put(os.getpid())
            ending.wait(60)
    except ResumeError:
        owners.put(None)


def test_of_those_that_begin_together_one_has_it(killed):
    for _ in range(10):
        barrier, ending, owners = FORK.Barrier(6), FORK.Event(), FORK.Queue()
        processes = [FORK.Process(target=_own, args=(killed, barrier, ending, owners)) for _ in range(6)]
        for process in processes:
            process.start()
        found = [owners.get(timeout=60) for _ in processes]
        ending.set()
        for process in processes:
            process.join(60)
        assert len([owner for owner in found if owner]) == 1


def test_a_claim_ends_with_its_process_and_a_resume_waits_for_nobody(killed):
    barrier, ending, owners = FORK.Barrier(1), FORK.Event(), FORK.Queue()
    process = FORK.Process(target=_own, args=(killed, barrier, ending, owners))
    process.start()
    assert owners.get(timeout=60) == process.pid
    with pytest.raises(ResumeError, match="is being run by another process"):
        resume(Run.open(killed.path), Signals())
    assert killed.read().get("resumes", 0) == 0
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    resume(Run.open(killed.path), Signals())
    assert (killed.status, killed.read()["resumes"]) == (Status.FINISHED, 1)


def test_a_run_under_way_is_nobody_elses(train, tmp_path, monkeypatch):
    def fit(run, *_, **__):
        with pytest.raises(ResumeError, match="is being run by another process"), owned(run.folder):
            pass
        return {}

    monkeypatch.setattr(training, "fit", fit)
    train()


def test_what_the_last_owner_has_finished_is_left_alone(killed, monkeypatch, capsys):
    """It may end between the look at the record and the claim."""
    found = iter([Status.KILLED, Status.FINISHED])
    monkeypatch.setattr(RunFolder, "status", property(lambda _: next(found)))
    resume(Run.open(killed.path), Signals())
    assert "nothing to do" in capsys.readouterr().out


def test_a_file_system_without_locks_is_said_and_trained_on(killed, monkeypatch, capsys):
    def flock(_, how):
        if how != 8:
            raise OSError(37, "No locks available")

    monkeypatch.setattr("aelab.cluster.claims.fcntl.flock", flock)
    copy = Path(shutil.copytree(killed.path, killed.path.parent / "copy"))
    resume(Run.open(copy), Signals())
    assert "knows no locks" in capsys.readouterr().err
