"""How a run that is one trial of a study tells the study of itself."""

import contextlib
from pathlib import Path
from typing import Any, Protocol

from pytorch_lightning import Callback, LightningModule, Trainer


class Pruned(Exception):  # noqa: N818  it is no error
    """The study has seen enough of this run."""


class Study(Protocol):
    """The other end of a pipe, or the study's storage itself."""

    def send(self, obj: Any) -> None: ...
    def recv(self) -> Any: ...


class Follows(Callback):
    """Ends the other processes of a run where `Tells` ends the first one."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and trainer.strategy.broadcast(False):
            raise Pruned("the study has seen enough of this run")


class Tells(Callback):
    """Sends the run's folder and, where `metric` is given, its value after every validation.

    study: sent ("run", folder) and ("report", number of the validation, value);
        it answers a report with whether to stop.

    Raises Pruned where the study wants no more of the run.
    """

    def __init__(self, study: Study, metric: str | None) -> None:
        self.study, self.metric = study, metric
        self.folder: Path | None = None
        self.validations = 0

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validations = state_dict["validations"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder = Path(trainer.default_root_dir)
        self._tell("run", str(self.folder))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        self.validations += 1
        if self.metric is None:
            return
        value = trainer.callback_metrics[self.metric].item()
        self._tell("report", self.validations, value)
        if trainer.strategy.broadcast(self._is_enough()):
            raise Pruned(f"{self.metric}={value:.6g} at validation {self.validations} is not promising")

    # A study that is gone has sent a signal before, at which the run ends where it can be continued.
    def _tell(self, *message: Any) -> None:
        with contextlib.suppress(OSError):
            self.study.send(message)

    def _is_enough(self) -> bool:
        with contextlib.suppress(OSError, EOFError):
            return bool(self.study.recv())
        return False
