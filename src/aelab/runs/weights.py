"""The model of a run's folder, with the weights that validation chose; read without Lightning and Hydra."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from aelab.errors import ConfigurationError, RunError
from aelab.models import Autoencoder
from aelab.runs.construction import construct
from aelab.runs.deciding import ELSEWHERE, without_idle_folds
from aelab.runs.folder import RunFolder
from aelab.training.checkpoints import load, resume_points, usable

RESUME_POINTS = "ResumePoints"  # the name under which Lightning keeps that callback's state


def model_of(folder: RunFolder, settings: DictConfig) -> Autoencoder:
    """The model of a run's configuration with the weights of its best checkpoint, in evaluation mode.

    Raises RunError without a usable checkpoint, or for one that belongs to another model.
    """
    path = checkpoint_of(folder)
    if path != folder.best:
        print(f"warning: {folder.best} is missing or damaged: {path.name} is taken", file=sys.stderr)
    checkpoint = load(path)
    try:
        state = checkpoint["state_dict"]
        weights = {name.removeprefix("model."): w for name, w in state.items() if name.startswith("model.")}
        model = construct(OmegaConf.to_container(settings.model))
        model.load_state_dict(weights)
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise RunError(
            f"{path} holds the weights of another model than {folder.config} describes: restore either"
        ) from error
    if fingerprint_in(checkpoint) != fingerprint(settings) or not isinstance(model, Autoencoder):
        raise RunError(f"{path} belongs to another configuration than {folder.config}: restore either")
    return model.eval().requires_grad_(False)


def checkpoint_of(folder: RunFolder) -> Path:
    """The weights that validation chose, else those of the newest undamaged resume point."""
    candidates = [folder.best, *resume_points(folder.checkpoints)]
    found = next(usable(candidates), None)
    if found is None:
        raise RunError(
            f"{folder.path} has no undamaged checkpoint (its status is {folder.status}): give a run that "
            "got as far as its first validation"
        )
    return found


def fingerprint(config: DictConfig) -> str:
    """A hash of all that decides a training's bits."""
    deciding = {k: v for k, v in config.items() if k not in ELSEWHERE}
    deciding["data"] = without_idle_folds(config.data)
    return hashlib.sha256(OmegaConf.to_yaml(OmegaConf.create(deciding), sort_keys=True).encode()).hexdigest()


def fingerprint_in(checkpoint: Mapping[str, Any]) -> str | None:
    """The fingerprint of the configuration that a checkpoint was trained with; None where it holds none."""
    try:
        return checkpoint["callbacks"][RESUME_POINTS]["fingerprint"]
    except (LookupError, TypeError):
        return None


def device_of(asked: str | None) -> torch.device:
    """A device that is at hand; None: an accelerator where there is one. Else ConfigurationError."""
    at_hand = ["cpu", *_accelerators()]
    device = at_hand[-1].partition(":")[0] if asked is None else str(asked)
    if device not in {*at_hand, *(name.partition(":")[0] for name in at_hand)}:
        raise ConfigurationError(f"device={device} is not at hand: choose {' or '.join(at_hand)}")
    return torch.device(device)


def _accelerators() -> list[str]:
    kind = torch.accelerator.current_accelerator()
    return [] if kind is None else [f"{kind.type}:{i}" for i in range(torch.accelerator.device_count())]
