"""Parts that are another run's, of a model or of a term: their configuration, and their weights' digest.

A recorded configuration names the weights by digest; where they lie decides nothing.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from aelab.config.recorded import BEST, CONFIG
from aelab.config.trusted import trusted_settings
from aelab.core.errors import ConfigurationError, RunError
from aelab.core.paths import from_user
from aelab.core.untrusted import sha256_of

# The slots of a model, and what else on the command line decides on them.
SLOTS = {
    "encoder": ("network",),
    "posterior": ("posterior", "latent"),
    "decoder": ("network", "latent"),
    "likelihood": ("likelihood",),
    "prior": ("prior", "latent"),
    "corruption": ("corruption",),
    "conditioner": ("condition",),
}
# Slots that a model may lack: where the other run's does, so will this one's.
OPTIONAL = ("corruption", "conditioner")


def take_over(config: DictConfig, overrides: Sequence[str]) -> None:
    """Put slots of another run's model in the place of the composed ones, before interpolations are resolved.

    Raises ConfigurationError for slots that cannot be taken over or are overridden, and RunError for a folder
    that holds no trusted configuration or no weights.
    """
    start = config.start
    if start.run is None:
        if idle := [o for o in overrides if o.lstrip("+").startswith("start.")]:
            raise ConfigurationError(f"{idle[0]} is about parts of another run: give start.run=FOLDER")
        if start.frozen:
            raise ConfigurationError(
                f"start.frozen=[{', '.join(start.frozen)}] keeps parts of another run as they are, as "
                "variant=prior_of and gan_inversion do: give start.run=FOLDER"
            )
        if start.features:
            raise ConfigurationError(
                "objective/penalty=features compares in the encoder of another run: give start.run=FOLDER"
            )
        return
    run = from_user(start.run).resolve()
    theirs = trusted_settings(run / CONFIG)
    _check_slots(start, theirs, run)
    if start.features and "features" not in config.objective.terms:
        raise ConfigurationError(
            "start.features=true is for a penalty that is not there: add objective/penalty=[features]"
        )
    _check_overrides(start.parts, overrides, run)
    _check_same(config, theirs, run)
    OmegaConf.set_struct(config, False)
    for slot in start.parts:
        OmegaConf.update(config, f"model.{slot}", theirs.model.get(slot), merge=False)
    if start.features:
        config.objective.terms.features.network = theirs.model.encoder
    if any("latent" in SLOTS[slot] for slot in start.parts):
        config.latent = theirs.latent
    digest = digest_of(run / BEST)
    if start.sha256 not in (None, digest):
        raise ConfigurationError(
            f"start.run={run} has other weights than start.sha256={start.sha256}: give either"
        )
    start.run, start.sha256 = str(run), digest


def digest_of(weights: Path) -> str:
    """The SHA-256 of a file of weights, in hexadecimal digits; RunError where there is none."""
    try:
        return sha256_of(weights)
    except OSError as error:
        raise RunError(
            f"start.run: {weights} cannot be read ({error.strerror}): give a run that reached its first "
            "validation"
        ) from error


def _check_slots(start: DictConfig, theirs: DictConfig, run: Path) -> None:
    for slot in start.parts:
        if slot not in SLOTS:
            raise ConfigurationError(f"start.parts: a model has no {slot}: choose of {', '.join(SLOTS)}")
        if theirs.model.get(slot) is None and slot not in OPTIONAL:
            raise ConfigurationError(f"start.parts: the model of {run} has no {slot}: take over other parts")
    told = theirs.model.get("conditioner") is not None
    if start.features and (told or theirs.model.get("encoder") is None):
        raise ConfigurationError(
            f"start.features: the model of {run} has no encoder that reads observations alone: give a run "
            "with condition=none and an encoder"
        )
    if loose := [slot for slot in start.frozen if slot not in start.parts]:
        raise ConfigurationError(f"start.frozen: {loose[0]} is not taken over: add it to start.parts")


def _check_overrides(parts: Collection[str], overrides: Sequence[str], run: Path) -> None:
    for override in overrides:
        key = override.lstrip("+~").split("=", 1)[0]
        for slot in parts:
            decides = key in SLOTS[slot] and not _decides_more(key, parts)
            if decides or f"{key}.".startswith(f"model.{slot}."):
                raise ConfigurationError(
                    f"{override}: the {slot} is taken over from {run} as it is: leave the override out, or "
                    f"{slot} out of start.parts"
                )


def _decides_more(key: str, parts: Collection[str]) -> bool:
    """Whether an option decides on a slot that is not taken over, too: `network` is the encoder's as well."""
    return key == "network" and not {"encoder", "decoder"} <= set(parts)


def _check_same(config: DictConfig, theirs: DictConfig, run: Path) -> None:
    of_model = ("model.structure",) if config.start.parts else ()
    for key in ("data.shape", "data.kind", *of_model):
        ours, other = (OmegaConf.select(c, key) for c in (config, theirs))
        if ours != other:
            raise ConfigurationError(
                f"start.run: {key} is {_shown(other)} in {run}, and {_shown(ours)} here: choose the same"
            )


def _shown(value: object) -> object:
    return value.get("_target_") if isinstance(value, DictConfig) else value
