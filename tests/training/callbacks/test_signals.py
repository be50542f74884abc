"""Signals wait for the end of a step, but not for ever."""

import os
import signal

import pytest

from aelab.core import signals
from aelab.core.signals import ENDING, Signals, Terminated


@pytest.fixture
def held():
    with Signals() as context:
        context.deferred = True
        yield context


def send(signum):
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize("signum", ENDING)
def test_a_signal_is_held_back_while_a_step_is_under_way(held, signum):
    send(signum)
    assert held.received == signum
    held.deferred = False
    with pytest.raises(Terminated) as end:
        send(signum)
    assert end.value.code == 128 + signum


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGUSR2])
def test_a_second_one_is_not(held, signum):
    send(signum)
    with pytest.raises(Terminated):
        send(signum)


def test_a_termination_that_comes_by_two_ways_is_one(held, monkeypatch):
    send(signal.SIGTERM)
    send(signal.SIGTERM)
    monkeypatch.setattr(signals, "ECHO", 0.0)
    with pytest.raises(Terminated):
        send(signal.SIGTERM)
