"""The model of a run's folder, with the weights that validation chose; read without Lightning and Hydra."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aelab.config.construct import construct_recorded
from aelab.core.errors import RunError
from aelab.models import Autoencoder
from aelab.runs.folder import Run, RunFolder
from aelab.training.checkpoints import load, resume_points, usable

RESUME_POINTS = "ResumePoints"  # the name under which Lightning keeps that callback's state


def model_of(run: Run) -> Autoencoder:
    """The model of a run's configuration with the weights of its best checkpoint, in evaluation mode.

    Raises RunError without a usable checkpoint, or for one that belongs to another model.
    """
    path = checkpoint_of(run.folder)
    if path != run.folder.best:
        print(f"warning: {run.folder.best} is missing or damaged: {path.name} is taken", file=sys.stderr)
    checkpoint = load(path)
    try:
        state = checkpoint["state_dict"]
        weights = {name.removeprefix("model."): w for name, w in state.items() if name.startswith("model.")}
        model = construct_recorded(run.settings.model, "model")
        model.load_state_dict(weights)
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise RunError(
            f"{path} holds the weights of another model than {run.folder.config} describes: restore either"
        ) from error
    if fingerprint_in(checkpoint) != run.fingerprint or not isinstance(model, Autoencoder):
        raise RunError(f"{path} belongs to another configuration than {run.folder.config}: restore either")
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


def fingerprint_in(checkpoint: Mapping[str, Any]) -> str | None:
    """The fingerprint of the configuration that a checkpoint was trained with; None where it holds none."""
    try:
        return checkpoint["callbacks"][RESUME_POINTS]["fingerprint"]
    except (LookupError, TypeError):
        return None
