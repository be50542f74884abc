"""What all trackers share: one of Lightning's loggers, started late, that may fail and can harm nobody."""

import logging
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from pytorch_lightning.loggers.logger import DummyExperiment, Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

log = logging.getLogger("aelab.loggers")
Inner = TypeVar("Inner", bound=Logger)


def new_run_id() -> str:
    """A name for a run that no other has: eight lower-case letters and digits, as W&B's own."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(8))


class Tracker(Logger, ABC, Generic[Inner]):
    """One of Lightning's loggers, started at its first use on rank zero, that cannot harm the run.

    The first failure, at the start or later, is logged as one warning; every later call does nothing.

    folder: the run's folder; the tracker's files go to its `trackers/`.
    name: the run's name.  run_id: from `new_run_id`; a resumed run gives the same one again.
    """

    def __init__(self, folder: Path, name: str, run_id: str) -> None:
        self._home = folder / "trackers"
        self._name = name
        self._run_id = run_id
        self._inner: Inner | None = None
        self._over = False

    @classmethod
    def preload(cls) -> None:
        """Import what can be imported before the process is forked; what starts threads waits."""

    @abstractmethod
    def _start(self) -> Inner:
        """Build Lightning's logger and connect it."""

    def _show(self, inner: Inner, name: str, path: Path, step: int, caption: str) -> None:
        """Hand a picture over; a tracker that cannot show one passes it by."""

    def _play(self, inner: Inner, name: str, path: Path, step: int, caption: str) -> None:
        """Hand a sound over; a tracker that cannot play one passes it by."""

    def _tabulate(self, inner: Inner, name: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Hand a table over; a tracker that has none passes it by."""

    def _spread(self, inner: Inner, name: str, values: np.ndarray, step: int) -> None:
        """Hand numbers over whose histogram counts; a tracker that has none passes them by."""

    def _warn(self, inner: Inner, name: str, why: str) -> None:
        """Hand an alarm over; a tracker that has no place for words passes it by."""

    def _summarise(self, inner: Inner, values: Mapping[str, float]) -> None:
        """Hand the run's best numbers over; a tracker without a summary passes them by."""

    def _keep(self, inner: Inner, files: Sequence[Path]) -> None:
        """Hand a model over; a tracker that keeps none passes it by."""

    def _close(self, inner: Inner, exit_code: int) -> None:
        """Say how the run ended."""
        inner.finalize("failed" if exit_code else "success")

    @property
    def name(self) -> str:
        """The run's name."""
        return self._name

    @property
    def version(self) -> str:
        """The run's id."""
        return self._run_id

    @property
    def save_dir(self) -> str:
        """The folder of this run's tracker files."""
        return str(self._home)

    @property
    def experiment(self) -> Any:
        """The service's own object, unguarded; one that swallows every call where there is none."""
        self._attempt(lambda inner: inner.experiment)  # type: ignore[attr-defined]
        dead = self._over or self._inner is None
        return DummyExperiment() if dead else self._inner.experiment  # type: ignore[union-attr]

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send `metrics` as they stood at `step`."""
        self._attempt(lambda inner: inner.log_metrics(dict(metrics), step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Send the configuration, a nested dictionary of plain values."""
        self._attempt(lambda inner: inner.log_hyperparams(params, *args, **kwargs))

    def log_picture(self, name: str, path: Path, step: int, caption: str = "") -> None:
        """Show the image file at `path` under `name`, as it stood at `step`; a caption where it has room.

        A sound beside it, of the same name and `.wav`, is played as `name`_sound.
        """
        self._attempt(lambda inner: self._show(inner, name, path, step, caption))
        sound = path.with_suffix(".wav")
        if sound.is_file():
            self._attempt(lambda inner: self._play(inner, f"{name}_sound", sound, step, caption))

    def log_table(self, name: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show rows as a table: plain values, each column of one type, and pictures' paths."""
        self._attempt(lambda inner: self._tabulate(inner, name, head, rows))

    def log_histogram(self, name: str, values: np.ndarray, step: int) -> None:
        """Show how numbers (N,) are spread at `step`."""
        self._attempt(lambda inner: self._spread(inner, name, values, step))

    def alert(self, name: str, why: str) -> None:
        """Raise an alarm by its name, with a sentence."""
        self._attempt(lambda inner: self._warn(inner, name, why))

    def log_summary(self, values: Mapping[str, float]) -> None:
        """Keep the run's best numbers, by name, where runs are listed."""
        self._attempt(lambda inner: self._summarise(inner, values))

    def keep_model(self, files: Sequence[Path]) -> None:
        """Keep the files of a trained model with the service, where it was asked to."""
        self._attempt(lambda inner: self._keep(inner, files))

    def save(self) -> None:
        """Write out what is buffered."""
        self._attempt(lambda inner: inner.save(), start=False)

    def finalize(self, status: str) -> None:
        """Write out the end of one of Lightning's loops; the tracker stays open until `finish`."""
        self._attempt(lambda inner: inner.finalize(status), start=False)

    def finish(self, exit_code: int) -> None:
        """Close the tracker with the run's exit status, 0 for success; later calls do nothing."""
        self._attempt(lambda inner: self._close(inner, exit_code), start=False)
        self._over = True

    def hint(self) -> str | None:
        """A command that is left for the user to run, None without one."""
        return None

    @rank_zero_only
    def _attempt(self, action: Callable[[Inner], object], start: bool = True) -> None:
        if self._over or not (start or self._inner):
            return
        try:
            if self._inner is None:
                self._home.mkdir(parents=True, exist_ok=True)
                self._inner = self._start()
            action(self._inner)
        except Exception as error:
            self._over = True
            log.warning("%s is switched off and the run goes on: %s", type(self).__name__, reason_of(error))


def trackers(loggers: Iterable[Logger]) -> list[Tracker[Any]]:
    """Those of some loggers that are views of the run, and not its own journal."""
    return [logger for logger in loggers if isinstance(logger, Tracker)]


def as_text(head: Sequence[str], rows: Sequence[Sequence[Any]], between: str = ",") -> str:
    """A table as lines, for services that have none; of a picture its file's name."""
    lines = ([cell.name if isinstance(cell, Path) else str(cell) for cell in row] for row in (head, *rows))
    return "\n".join(between.join(line) for line in lines)


def reason_of(error: Exception) -> str:
    lines = re.sub(r"(?<=://)[^/\s@]+@", "", str(error)).strip().splitlines()  # names and passwords
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
