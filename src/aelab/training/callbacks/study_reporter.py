"""The callbacks of a run that is one trial of a study: they report its numbers, and end it when pruned."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pytorch_lightning import Callback, LightningModule, Trainer


class Pruned(Exception):  # noqa: N818  it is no error
    """The end of a run of which the study has seen enough."""


@dataclass(frozen=True)
class RunStarted:
    """The run folder in which a trial trains."""

    folder: str


@dataclass(frozen=True)
class ValidationReport:
    """The objective's value at a validation, counted from 1; the study answers whether to stop."""

    validation: int
    value: float


class StudyChannel(Protocol):
    """The connection from a trial to its study: the end of a pipe, or the study's storage itself."""

    def send(self, message: Any, /) -> None: ...
    def recv(self) -> Any: ...


class PruningFollower(Callback):
    """Ends the other processes of a run where `StudyReporter` ends the first one."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and trainer.strategy.broadcast(False):
            raise Pruned("the study has seen enough of this run")


class StudyReporter(Callback):
    """Sends the run's folder and, where `metric` is given, its value after every validation.

    channel: receives a `RunStarted`, and `ValidationReport`s, to each of which it answers whether to stop.

    Raises Pruned where the answer is yes.
    """

    def __init__(self, channel: StudyChannel, metric: str | None) -> None:
        self.channel, self.metric = channel, metric
        self.folder: Path | None = None
        self.validations = 0

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validations = state_dict["validations"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder = Path(trainer.default_root_dir)
        self._send(RunStarted(str(self.folder)))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        self.validations += 1
        if self.metric is None:
            return
        value = trainer.callback_metrics[self.metric].item()
        self._send(ValidationReport(self.validations, value))
        if trainer.strategy.broadcast(self._is_pruned()):
            raise Pruned(f"{self.metric}={value:.6g} at validation {self.validations} is not promising")

    # A study that is gone has sent a signal before, at which the run ends where it can be continued.
    def _send(self, message: RunStarted | ValidationReport) -> None:
        with contextlib.suppress(OSError):
            self.channel.send(message)

    def _is_pruned(self) -> bool:
        with contextlib.suppress(OSError, EOFError):
            return bool(self.channel.recv())
        return False
