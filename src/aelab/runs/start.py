"""Weights that a training starts from, where they are another run's."""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor, nn

from aelab.config.start import digest_of
from aelab.core.errors import ConfigurationError, RunError
from aelab.models import Autoencoder
from aelab.runs.folder import Run
from aelab.runs.model import fingerprint_in
from aelab.training.checkpoints import load


def take_over(model: Autoencoder, start: DictConfig) -> None:
    """Give the slots in `start.parts` the weights of `start.run`; nothing where that is None.

    Raises RunError where these weights are not there, and ConfigurationError where they do not fit.
    """
    if start.run is None:
        return
    state: Mapping[str, Tensor] = load(weights_of(start))["state_dict"]
    for slot in start.parts:
        prefix = f"model.{slot}."
        weights = {k.removeprefix(prefix): w for k, w in state.items() if k.startswith(prefix)}
        _load(getattr(model, slot), weights, f"start.parts: the {slot} of {start.run}")


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
