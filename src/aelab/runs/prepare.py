"""A run about to begin: tried, given a folder, and what its numbers depend on recorded."""

import functools
import shutil
import sys
from dataclasses import replace
from typing import Any

import torch
from omegaconf import OmegaConf
from pytorch_lightning import Trainer

from aelab.cluster.devices import world_size
from aelab.core.errors import ConfigurationError
from aelab.core.files import write_bytes, write_text
from aelab.core.paths import conf_dir
from aelab.core.signals import Signals
from aelab.loggers import new_run_id
from aelab.runs.build import Parts
from aelab.runs.fit import trainer_of
from aelab.runs.folder import Run, RunFolder
from aelab.runs.model import weights_of
from aelab.runs.provenance import changes_patch, command, git_state, hardware, packages


def rehearse(run: Run, parts: Parts, signals: Signals) -> Trainer:
    """Make the Trainer once before a run has its folder, so that what it refuses leaves none behind."""
    trial = trainer_of(run, "", signals)
    if any(stopping.monitor is None for stopping in trial.early_stopping_callbacks):
        raise ConfigurationError(
            "callback=early_stopping watches monitor.metric, which is null: give "
            "callbacks.early_stopping.monitor, as val/mse"
        )
    for callback in trial.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, "check"):
            callback.check(parts.training.model, parts.data.val_examples(1))
    return trial


def begin(run: Run, parts: Parts, **more: Any) -> Run:
    """The planned run in a folder of its own, with what is known of it, and more, in its record."""
    known, patch = circumstances(run, parts), changes()
    folder = RunFolder.create(run.folder.path, str(run.settings.name))
    write_text(folder.config, OmegaConf.to_yaml(run.settings))
    write_bytes(folder.patch, patch)
    if run.settings.start.run is not None:  # the run is whole in itself, also to be reproduced
        shutil.copyfile(weights_of(run.settings.start), folder.start)
    folder.update(**known, **more)
    return replace(run, folder=folder)


# What a process has imported is the tree as it was when it began: so have the trials that it forks.
@functools.cache
def tree() -> dict[str, Any] | None:
    """The state of the source tree, as this process first found it."""
    return git_state(conf_dir())


@functools.cache
def changes() -> bytes:
    """The uncommitted changes then as a patch; empty, with a warning, where they cannot be told."""
    try:
        return changes_patch(conf_dir())
    except ConfigurationError as error:
        print(f"warning: the record will lack the uncommitted changes: {error}", file=sys.stderr)
        return b""


def circumstances(run: Run, parts: Parts) -> dict[str, Any]:
    """What a run's numbers depend on, apart from its configuration."""
    return {
        "run_id": new_run_id(),
        "seed": run.settings.seed,
        "fingerprint": run.fingerprint,
        "command": command(),
        "git": tree(),
        "packages": packages(),
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "processes": world_size(run.settings.trainer),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "data": {"name": parts.data.name, "checksums": parts.data.checksums},
        "values": parts.data.values.state(),
        "parameters": sum(p.numel() for p in parts.training.model.parameters()),
        "flops_per_image": parts.flops_per_image,
    }
