"""The model of a run's folder, with the weights that validation chose; read without Lightning and Hydra."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import Tensor, nn

from aelab.config.construct import construct_recorded
from aelab.config.start import digest_of
from aelab.core.errors import ConfigurationError, RunError
from aelab.core.memory import enough_memory
from aelab.models import Autoencoder
from aelab.objectives.base import Objective
from aelab.runs.folder import Run, RunFolder
from aelab.training.checkpoints import load, resume_points, usable

WEIGHTS = "model.safetensors"  # of a bundle, in the place of checkpoints
RESUME_POINTS = "ResumePoints"  # the name under which Lightning keeps that callback's state


def model_of(run: Run) -> Autoencoder:
    """The model of a run's configuration with the weights of its best checkpoint, in evaluation mode.

    Raises RunError without a usable checkpoint, or for one that belongs to another model.
    """
    bundled = run.folder.path / WEIGHTS
    path = bundled if bundled.is_file() else checkpoint_of(run.folder)
    try:
        weights, trained_as = _bundled(path) if path == bundled else _kept(path, run.folder.best)
        if trained_as != run.fingerprint:
            raise RunError(
                f"{path} belongs to another configuration than {run.folder.config}: restore either"
            )
        with enough_memory():
            model = construct_recorded(run.settings.model, "model")
        model.load_state_dict(weights)
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise RunError(
            f"{path} holds the weights of another model than {run.folder.config} describes: restore either"
        ) from error
    if not isinstance(model, Autoencoder):
        raise RunError(f"{run.folder.config} describes no model as its model: restore it")
    model.fitted = fitted(run.settings.objective)
    return model.eval().requires_grad_(False)


def fitted(objective: DictConfig) -> bool:
    """Whether the model was trained by any term that is no critic's."""
    return not objective.get("critics") or any("critic" not in term for term in objective.terms.values())


def _kept(path: Path, best: Path) -> tuple[dict[str, Tensor], str | None]:
    """The model's weights in a checkpoint, and the fingerprint of their configuration."""
    if path != best:
        print(f"warning: {best} is missing or damaged: {path.name} is taken", file=sys.stderr)
    checkpoint = load(path)
    state = checkpoint["state_dict"]
    weights = {name.removeprefix("model."): w for name, w in state.items() if name.startswith("model.")}
    return weights, fingerprint_in(checkpoint)


def _bundled(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The same of a bundle, which holds no checkpoint."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ConfigurationError(f"{path} needs safetensors: pip install safetensors") from error
    try:
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return weights, (file.metadata() or {}).get("fingerprint")
    except SafetensorError as damage:
        raise RunError(f"{path} is damaged ({damage}): fetch it again") from damage


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


def take_over(model: Autoencoder, objective: Objective, start: DictConfig) -> None:
    """Give the slots in `start.parts`, and the term `features` where `start.features`, the weights of
    `start.run`; nothing where that is None.

    Raises RunError where these weights are not there, and ConfigurationError where they do not fit.
    """
    if start.run is None:
        return
    state: Mapping[str, Tensor] = load(weights_of(start))["state_dict"]
    taken: list[tuple[str, Any]] = [(slot, getattr(model, slot)) for slot in start.parts]
    if start.features:
        taken.append(("encoder", objective.terms["features"].network))
    for slot, part in taken:
        prefix = f"model.{slot}."
        weights = {k.removeprefix(prefix): w for k, w in state.items() if k.startswith(prefix)}
        if part is not None:
            _load(part, weights, f"start.parts: the {slot} of {start.run}")


def weights_of(start: DictConfig) -> Path:
    """The file that `start.sha256` names: the best weights of `start.run`, or those that it started from.

    Raises RunError where neither is that file, or the weights are of another configuration than the run's.
    """
    run = Run.open(Path(start.run))
    kept = (run.folder.best, run.folder.start)
    found = next((path for path in kept if path.is_file() and digest_of(path) == start.sha256), None)
    if found is None:
        raise RunError(f"start.run={start.run} has no weights of start.sha256={start.sha256}: restore them")
    if found == run.folder.best and fingerprint_in(load(found)) != run.fingerprint:
        raise RunError(f"{found} belongs to another configuration than {run.folder.config}: restore either")
    return found


def _load(part: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    ours = part.state_dict()
    for name in (*ours, *weights):
        here, there = (list(s[name].shape) if name in s else "missing" for s in (ours, weights))
        if here != there:
            raise ConfigurationError(
                f"{what} has other weights than here ({name} is {there} there and {here} here): take over "
                "the parts that decide on its sizes, too"
            )
    part.load_state_dict(dict(weights))
