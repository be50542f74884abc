"""MLflow."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from pytorch_lightning.loggers import MLFlowLogger

from aelab.core.errors import ConfigurationError
from aelab.loggers.base import Tracker, as_text


class MLflow(Tracker[MLFlowLogger]):
    """MLflow.

    experiment: the MLflow experiment that the run belongs to.
    tracking_uri: a server or a database; by default MLFLOW_TRACKING_URI, else the run's own in its folder.
    group, tags: by which a run is found: MLflow's tag `aelab.group`, and a tag without a value for each word.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        run_id: str,
        *,
        experiment: str = "aelab",
        tracking_uri: str | None = None,
        group: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        super().__init__(folder, name, run_id)
        filed = {} if group is None else {"aelab.group": group}
        # Ours come last: a user's word may not take the place of the id by which a resume finds the run.
        self._tags = {**dict.fromkeys(map(str, tags or ()), ""), **filed, "aelab.run_id": run_id}
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
        (files := self._home / "mlflow").mkdir(exist_ok=True)
        uri = self._uri or f"sqlite:///{files / 'mlflow.db'}"
        logger = MLFlowLogger(
            experiment_name=self._experiment,
            run_name=self._name,
            run_id=self._earlier(uri),
            tracking_uri=uri,
            tags=self._tags,
            artifact_location=None if self._uri else (files / "artifacts").as_uri(),
        )
        given = os.environ.pop("MLFLOW_TRACKING_URI", "")
        try:
            where = logger.experiment.get_run(
                logger.run_id
            ).info.artifact_uri  # a moved folder's lies elsewhere
            if not self._uri and (not where.startswith(f"{files.as_uri()}/artifacts/") or ".." in where):
                raise ConfigurationError(f"{files / 'mlflow.db'} keeps its pictures in {where[:200]}")
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

    def _show(self, inner: MLFlowLogger, name: str, path: Path, step: int, caption: str) -> None:
        with Image.open(path) as image:
            inner.experiment.log_image(inner.run_id, image.convert("RGB"), key=name, step=step)

    def _tabulate(
        self, inner: MLFlowLogger, name: str, head: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        inner.experiment.log_text(inner.run_id, as_text(head, rows), f"tables/{name}.csv")

    def _warn(self, inner: MLFlowLogger, name: str, why: str) -> None:
        inner.experiment.set_tag(inner.run_id, f"aelab.alarm.{name}", why)

    def _summarise(self, inner: MLFlowLogger, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            inner.experiment.log_metric(inner.run_id, name, value)
