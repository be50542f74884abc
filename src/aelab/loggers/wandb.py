"""Weights & Biases."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import WandbLogger

from aelab.core.errors import ConfigurationError
from aelab.loggers.base import Tracker, log, reason_of

# Seconds that the end of a run waits for W&B, without a model and with one; the folder keeps all for a sync.
FINISH, FINISH_MODEL = 20.0, 120.0


class Wandb(Tracker[WandbLogger]):
    """Weights & Biases.

    mode: `auto` follows WANDB_MODE, else is online where an API key is at hand and offline elsewhere;
        `online`, `offline` and `disabled` are W&B's own. Without an answer of the server the run is offline.
    project, entity, group, job_type, tags: where and how W&B files the run.
    artifacts: whether the trained model is kept there too: configuration, record and best weights, as the
        artifact model-RUN_ID, whose folder `aelab.load` reads.

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
        tags: Sequence[str] | None = None,
        mode: str = "auto",
        artifacts: bool = False,
    ) -> None:
        modes = ("auto", "online", "offline", "disabled")
        if mode not in modes:
            raise ConfigurationError(f"logger.wandb.mode is {mode!r}: choose one of {', '.join(modes)}.")
        super().__init__(folder, name, run_id)
        self._mode, self._artifacts = mode, artifacts
        self._unsent: list[Path] = []  # what W&B did not take
        filing = {"project": project, "entity": entity, "group": group, "job_type": job_type}
        self._filing: dict[str, Any] = {**filing, "tags": list(tags or ())}

    @classmethod
    def preload(cls) -> None:
        """Import wandb and what `wandb.init` would, which takes longer than a small training's start."""
        import wandb.apis.public  # noqa: F401

    def hint(self) -> str | None:
        """`wandb sync` for what was logged offline, by this process and those before it, or not taken."""
        waiting = sorted(map(str, [*self._home.glob("wandb/offline-run-*"), *self._unsent]))
        return shlex.join(["wandb", "sync", *waiting]) if waiting else None

    def _start(self) -> WandbLogger:
        import wandb

        # Without it artifacts are staged in the home folder, and no setting of wandb.init says so.
        os.environ["WANDB_DATA_DIR"] = str(self._home)
        try:
            return self._connect(_wandb_mode() if self._mode == "auto" else self._mode)
        except wandb.Error as error:
            log.warning("W&B is not reached and the run is logged offline: %s", reason_of(error))
            # Only the end of its service makes W&B give back the id of a run that it could not open.
            wandb.teardown(1)
            return self._connect("offline")

    def _connect(self, mode: str) -> WandbLogger:
        import wandb

        # W&B waits for minutes at the start, and at the end for as long as the network is away.
        patience = {"init_timeout": 15.0, "finish_timeout": FINISH_MODEL if self._artifacts else FINISH}
        waits: dict[str, Any] = {
            key: value for key, value in patience.items() if f"WANDB_{key.upper()}" not in os.environ
        }
        run = wandb.init(
            dir=self._home,
            id=self._run_id,
            name=self._name,
            mode=mode,  # type: ignore[arg-type]
            resume="allow",
            # By default a second run of this process would be logged into the first one.
            reinit="create_new",
            # The record says which code it was; W&B would send the remote's address with a token in it.
            settings=wandb.Settings(quiet=True, disable_git=True, finish_timeout_raises=True, **waits),
            **self._filing,
        )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return WandbLogger(experiment=run)

    def _show(self, inner: WandbLogger, name: str, path: Path, step: int, caption: str) -> None:
        inner.log_image(name, [str(path)], step=step, caption=[caption or None])

    def _play(self, inner: WandbLogger, name: str, path: Path, step: int, caption: str) -> None:
        inner.log_audio(name, [str(path)], step=step, caption=[caption or None])

    def _tabulate(
        self, inner: WandbLogger, name: str, head: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        import wandb

        shown = [[wandb.Image(str(cell)) if isinstance(cell, Path) else cell for cell in row] for row in rows]
        inner.log_table(name, list(head), shown)

    def _spread(self, inner: WandbLogger, name: str, values: np.ndarray, step: int) -> None:
        import wandb

        histogram: Any = wandb.Histogram(values.tolist())
        inner.log_metrics({name: histogram}, step)

    def _warn(self, inner: WandbLogger, name: str, why: str) -> None:
        inner.experiment.alert(title=f"{self._name}: {name}", text=why, level="WARN")

    def _summarise(self, inner: WandbLogger, values: Mapping[str, float]) -> None:
        inner.experiment.summary.update(dict(values))

    def _keep(self, inner: WandbLogger, files: Sequence[Path]) -> None:
        import wandb

        if self._artifacts:
            artifact = wandb.Artifact(f"model-{self._run_id}", "model", metadata={"name": self._name})
            for path in files:
                # W&B sends a copy, which offline stays until a sync, and keeps another in its cache.
                # A finished run's weights are never altered, so that they are sent from where they lie.
                policy: Any = "immutable" if path.suffix == ".ckpt" else "mutable"
                name = str(path.relative_to(self._home.parent))
                artifact.add_file(str(path), name, skip_cache=True, policy=policy)
            inner.experiment.log_artifact(artifact, aliases=["best"])

    def _close(self, inner: WandbLogger, exit_code: int) -> None:
        folder = Path(inner.experiment.settings.sync_dir)
        try:
            inner.experiment.finish(exit_code=exit_code)
        except TimeoutError:
            self._unsent.append(folder)
            log.warning("W&B does not answer at the end of the run, of which it lacks what %s holds", folder)


def _wandb_mode() -> str:
    from wandb import login

    return os.environ.get("WANDB_MODE") or ("online" if login(prompt=False, verify=False) else "offline")
