"""Trackio."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers.logger import Logger

from aelab.loggers.base import Tracker


class TrackioLogger(Logger):
    """A run of Trackio as one of Lightning's loggers, which has none of its own.

    experiment: Trackio's own run.
    """

    def __init__(self, experiment: Any) -> None:
        self.experiment = experiment

    @property
    def name(self) -> str:
        return str(self.experiment.name)

    @property
    def version(self) -> str:
        return str(self.experiment.id)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self.experiment.log(dict(metrics), step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Beside the first metrics: Trackio has a configuration from the start of a run on, or never."""
        from lightning_fabric.utilities.logger import _flatten_dict

        self.experiment.config.update(_flatten_dict(params))


class Trackio(Tracker[TrackioLogger]):
    """Trackio, which keeps the runs of a project together: in TRACKIO_DIR, else in its own place at home, or
    on the server that TRACKIO_SERVER_URL names. A resumed run adds to what it logged before.

    project, group: where Trackio files the run.
    """

    def __init__(
        self, folder: Path, name: str, run_id: str, *, project: str = "aelab", group: str | None = None
    ) -> None:
        super().__init__(folder, name, run_id)
        self._project, self._group = project, group

    def hint(self) -> str | None:
        return f"trackio show --project {self._project}" if self._inner else None

    def _start(self) -> TrackioLogger:
        import trackio

        run = _silently(
            trackio.init,
            project=self._project,
            name=f"{self._name}-{self._run_id}",
            group=self._group,
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        # The next `init` would finish the run that it finds here, and of several at once each ends by itself.
        trackio.context_vars.current_run.set(None)
        return TrackioLogger(run)

    def _show(self, inner: TrackioLogger, name: str, path: Path, step: int, caption: str) -> None:
        import trackio

        inner.log_metrics({name: trackio.Image(str(path), caption=caption or None)}, step)

    def _play(self, inner: TrackioLogger, name: str, path: Path, step: int, caption: str) -> None:
        import trackio

        inner.log_metrics({name: trackio.Audio(str(path), caption=caption or None)}, step)

    def _tabulate(
        self, inner: TrackioLogger, name: str, head: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        import trackio

        shown = [[trackio.Image(str(c)) if isinstance(c, Path) else c for c in row] for row in rows]
        inner.log_metrics({name: trackio.Table(columns=list(head), data=shown)})

    def _spread(self, inner: TrackioLogger, name: str, values: np.ndarray, step: int) -> None:
        import trackio

        inner.log_metrics({name: trackio.Histogram(values)}, step)

    def _warn(self, inner: TrackioLogger, name: str, why: str) -> None:
        _silently(inner.experiment.alert, f"{self._name}: {name}", why)

    def _summarise(self, inner: TrackioLogger, values: Mapping[str, float]) -> None:
        inner.log_metrics(values)

    def _close(self, inner: TrackioLogger, exit_code: int) -> None:
        _silently(inner.experiment.finish)


def _silently(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The terminal is the run's own: what a service prints of itself is left aside."""
    with redirect_stdout(StringIO()):
        return call(*args, **kwargs)
