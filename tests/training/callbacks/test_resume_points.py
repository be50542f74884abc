"""A signal that comes while processes agree on what to do is not forgotten."""

import signal
from types import SimpleNamespace

import pytest

from aelab.core.signals import Signals, Terminated
from aelab.training.callbacks.resume import ResumePoints

LOGGED = SimpleNamespace(window=[])


class Between:
    """A strategy whose broadcast takes long enough for a signal to come."""

    def broadcast(self, value):
        signal.raise_signal(signal.SIGTERM)
        return value


class Fast:
    def broadcast(self, value):
        return value


@pytest.fixture
def saved(tmp_path):
    """Resume points of one of two processes, which wait for a signal, and their trainer."""
    with Signals() as signals:
        signals.deferred = True
        points = ResumePoints(tmp_path, "", SimpleNamespace(), signals)
        trainer = SimpleNamespace(
            world_size=2, is_global_zero=True, save_checkpoint=lambda path: path.touch(),
            datamodule=SimpleNamespace(),
        )  # fmt: skip
        yield points, trainer


def test_a_signal_during_the_agreement_ends_all_processes_at_the_next(saved):
    points, trainer = saved
    trainer.strategy = Between()
    assert not points._is_asked(trainer, LOGGED)
    trainer.strategy = Fast()
    assert points._is_asked(trainer, LOGGED)
    with pytest.raises(Terminated):
        points._take(trainer, 0, 2)


def test_a_point_that_was_due_anyway_does_not_end_one_process_alone(saved):
    points, trainer = saved
    trainer.strategy = Between()
    points.every_seconds = -1.0  # a point is due
    assert points._is_asked(trainer, LOGGED)
    points._take(trainer, 0, 1)  # the others know nothing of the signal yet
    assert points.signals.received == signal.SIGTERM
