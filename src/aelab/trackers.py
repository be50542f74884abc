"""Views of a run in Weights & Biases, TensorBoard, MLflow and CSV, over Lightning's own loggers.

A tracker is a guest: it may fail, but it may neither end a run nor hold it up. The truth is the run's folder.
"""

import logging
import os
import secrets
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import DummyExperiment, Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from aelab.errors import ConfigurationError

log = logging.getLogger(__name__)
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

    @abstractmethod
    def _start(self) -> Inner:
        """Build Lightning's logger and connect it."""

    def _show(self, inner: Inner, name: str, path: Path, step: int) -> None:
        """Hand a picture over; a tracker that cannot show one passes it by."""

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

    def log_picture(self, name: str, path: Path, step: int) -> None:
        """Show the image file at `path` under `name`, as it stood at `step`."""
        self._attempt(lambda inner: self._show(inner, name, path, step))

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
            log.warning("%s is switched off and the run goes on: %s", type(self).__name__, _reason(error))


class Wandb(Tracker[WandbLogger]):
    """Weights & Biases.

    mode: `auto` follows WANDB_MODE, else is online where an API key is at hand and offline elsewhere;
        `online`, `offline` and `disabled` are W&B's own. Without an answer of the server the run is offline.
    project, entity, group, job_type, tags: where and how W&B files the run.

    Raises:
        ConfigurationError: `mode` is none of these.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        run_id: str,
        *,
        project: str = "aelab",
        entity: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] = (),
        mode: str = "auto",
    ) -> None:
        if mode not in (modes := ("auto", "online", "offline", "disabled")):
            raise ConfigurationError(f"logger.wandb.mode is {mode!r}: choose one of {', '.join(modes)}.")
        super().__init__(folder, name, run_id)
        self._mode = mode
        filing = {"project": project, "entity": entity, "group": group, "job_type": job_type}
        self._filing: dict[str, Any] = {**filing, "tags": list(tags)}

    def hint(self) -> str | None:
        """`wandb sync` for what was logged offline, by this process and by those before it."""
        waiting = sorted(str(path) for path in self._home.glob("wandb/offline-run-*"))
        return shlex.join(["wandb", "sync", *waiting]) if waiting else None

    def log_table(self, name: str, head: Sequence[str], rows: list[list[Any]]) -> None:
        """Show rows of plain values, each column of one type, as a table."""
        self._attempt(lambda inner: inner.log_table(name, list(head), rows))

    def _start(self) -> WandbLogger:
        import wandb

        # Without it artifacts are staged in the home folder, and no setting of wandb.init says so.
        os.environ["WANDB_DATA_DIR"] = str(self._home)
        try:
            return self._connect(_wandb_mode() if self._mode == "auto" else self._mode)
        except wandb.Error as error:
            log.warning("W&B is not reached and the run is logged offline: %s", _reason(error))
            # Only the end of its service makes W&B give back the id of a run that it could not open.
            wandb.teardown(1)
            return self._connect("offline")

    def _connect(self, mode: str) -> WandbLogger:
        import wandb

        # W&B waits for minutes at the start, and at the end for as long as the network is away.
        patience: dict[str, Any] = {"init_timeout": 15.0, "finish_timeout": 120.0}
        waits = {key: value for key, value in patience.items() if f"WANDB_{key.upper()}" not in os.environ}
        run = wandb.init(
            dir=self._home,
            id=self._run_id,
            name=self._name,
            mode=mode,  # type: ignore[arg-type]
            resume="allow",
            # By default a second run of this process would be logged into the first one.
            reinit="create_new",
            settings=wandb.Settings(quiet=True, **waits),
            **self._filing,
        )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return WandbLogger(experiment=run)

    def _show(self, inner: WandbLogger, name: str, path: Path, step: int) -> None:
        inner.log_image(name, [str(path)], step=step)

    def _close(self, inner: WandbLogger, exit_code: int) -> None:
        inner.experiment.finish(exit_code=exit_code)


class TensorBoard(Tracker[TensorBoardLogger]):
    """TensorBoard's event files, in `trackers/tensorboard`; a resumed run adds to them."""

    def _start(self) -> TensorBoardLogger:
        return TensorBoardLogger(self._home, name="tensorboard", version="")

    def _show(self, inner: TensorBoardLogger, name: str, path: Path, step: int) -> None:
        with Image.open(path) as image:
            inner.experiment.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")


class MLflow(Tracker[MLFlowLogger]):
    """MLflow, where `experiment` names the MLflow experiment that the run belongs to.

    tracking_uri: a server or a database; by default MLFLOW_TRACKING_URI, else the run's own in its folder.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        run_id: str,
        *,
        experiment: str = "aelab",
        tracking_uri: str | None = None,
    ) -> None:
        super().__init__(folder, name, run_id)
        self._experiment = experiment
        self._uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Send the configuration; MLflow forbids a change, so what the run sent before a resume stays."""
        from lightning_fabric.utilities.logger import _flatten_dict

        def send(inner: MLFlowLogger) -> None:
            known = inner.experiment.get_run(inner.run_id).data.params
            flat = _flatten_dict(params)
            inner.log_hyperparams({key: value for key, value in flat.items() if key not in known})

        self._attempt(send)

    def _start(self) -> MLFlowLogger:
        # By default a server that is away holds each call up for many minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        files = self._home / "mlflow"
        files.mkdir(exist_ok=True)
        uri = self._uri or f"sqlite:///{files / 'mlflow.db'}"
        logger = MLFlowLogger(
            experiment_name=self._experiment,
            run_name=self._name,
            run_id=self._earlier(uri),
            tracking_uri=uri,
            tags={"aelab.run_id": self._run_id},
            artifact_location=None if self._uri else (files / "artifacts").as_uri(),
        )
        given = os.environ.pop("MLFLOW_TRACKING_URI", "")
        try:
            logger.experiment.update_run(logger.run_id, status="RUNNING")
        finally:
            # The logger exported its address, which the next run of this process would take for the user's.
            os.environ["MLFLOW_TRACKING_URI"] = given
        return logger

    def _earlier(self, uri: str) -> str | None:
        """MLflow's own id of this run where an earlier process began it."""
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(self._experiment)
        ours = f"tags.`aelab.run_id` = '{self._run_id}'"
        found = experiment and client.search_runs([experiment.experiment_id], ours, max_results=1)
        return found[0].info.run_id if found else None

    def _show(self, inner: MLFlowLogger, name: str, path: Path, step: int) -> None:
        with Image.open(path) as image:
            inner.experiment.log_image(inner.run_id, image.convert("RGB"), key=name, step=step)


class Csv(Tracker[CSVLogger]):
    """A table without pictures, `trackers/csv/version_N/metrics.csv`, for each start or resume of the run."""

    def _start(self) -> CSVLogger:
        # Written at each call: Lightning's flush at every hundredth *step* may never meet a logged one.
        return CSVLogger(self._home, name="csv", flush_logs_every_n_steps=1)


def _wandb_mode() -> str:
    from wandb import login

    return os.environ.get("WANDB_MODE") or ("online" if login(prompt=False, verify=False) else "offline")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
