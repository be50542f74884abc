"""Alarms while training: on the terminal, and in the run's trackers."""

import sys

from pytorch_lightning import Trainer

from aelab.loggers import trackers


def raise_alarm(trainer: Trainer, name: str, why: str) -> None:
    """Print an alarm, and tell the trackers after which step."""
    print(f"alarm     {name}: {why}", file=sys.stderr)
    tell_trackers(trainer, name, f"after step {trainer.global_step} {why}")


def tell_trackers(trainer: Trainer, name: str, why: str) -> None:
    """Raise an alarm where it is said elsewhere what happened."""
    for tracker in trackers(trainer.loggers):
        tracker.alert(name, why)
