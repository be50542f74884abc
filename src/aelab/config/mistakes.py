"""One sentence for each mistake on a command line: what, where, and what would work."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue

from aelab.config.folders import choices, chosen_groups, groups
from aelab.config.nearest import nearest
from aelab.config.session import session
from aelab.core.text import sentence

INSTEAD = {
    "trainer.fast_dev_run": "debug=fast_dev_run",
    "trainer.overfit_batches": "debug=overfit",
    "trainer.accumulate_grad_batches": "training.accumulate_grad_batches=N",
    "trainer.gradient_clip_val": "training.gradient_clip_val=X",
    "trainer.gradient_clip_algorithm": "training.gradient_clip_val=X, which clips the norm",
}
"""What does not work here, as a run keeps checkpoints, deals out batches and steps by itself; what does."""


def explain(error: Exception, overrides: Sequence[str] = (), name: str = "train") -> str:
    """One sentence for an error of the configuration."""
    message = sentence(error)
    key = _missing_key(error)
    if key is not None:
        if key in INSTEAD:
            return f"{key} does not work here: choose {INSTEAD[key]}"
        given = [o for o in overrides if not o.startswith("-") and key_of(o) != key]
        if key in groups():
            roots = [
                option for option in valid_keys(given, name) if "." not in option and option not in groups()
            ]
            return f"{key}= is of training, and aelab {name} has no use for it: it takes {', '.join(roots)}"
        return f"unknown option {key!r}; {nearest(key, list(valid_keys(given, name)))}"
    group = re.search(
        r"Could not find '([^']+)/([^'/]+)'|In '[^']+': Could not (?:find|load) '([^']+)/([^'/]+)'", message
    )
    if isinstance(error, MissingConfigException) and group:
        found, choice = group.group(1) or group.group(3), group.group(2) or group.group(4)
        known = choices(found)  # none of Hydra's own groups
        return f"unknown {found} {choice!r}; {nearest(choice, known) if known else 'leave it out'}"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is needed, and has no default: give {error.full_key}=..."
    if isinstance(error, InterpolationKeyError):
        missing = re.search(r"Interpolation key '([^']+)'", str(error))
        return (
            f"{error.full_key} follows {missing and missing.group(1)}, which this composition lacks: choose "
            "parts that go together, as a variant does"
        )
    if isinstance(error, OverrideParseException):
        fit = _quoted(str(error.override)) or message
        return f"cannot read the override {error.override!r}: {fit}"
    return message


def _quoted(override: str) -> str | None:
    """The advice to quote a value, where that makes it one that can be read."""
    key, _, value = override.partition("=")
    if not value or value.startswith(("[", "{", "'", '"')):
        return None
    try:
        OverridesParser.create().parse_override(quoted := f'{key}="{value}"')
    except HydraException:
        return None
    return f"its value needs quotes of its own, as {shlex.quote(quoted)}"


def _missing_key(error: BaseException) -> str | None:
    """The key that Hydra or OmegaConf could not find, if that is what went wrong."""
    if isinstance(error, ConfigCompositionException):
        match = re.search(r"Could not override '([^']+)'", str(error))
        return key_of(match.group(1)) if match else None
    return None


def key_of(override: str) -> str:
    """`optimizer.lr` of `+optimizer.lr=0.1`."""
    return override.lstrip("+~").split("=", 1)[0]


def valid_keys(overrides: Sequence[str], name: str) -> Iterator[str]:
    """Every key that can be overridden, given the overrides that could be composed."""
    with session():
        try:
            config = hydra.compose(name, list(overrides))
        except Exception:  # another override is wrong too: the defaults still give useful names
            config = hydra.compose(name)
    yield from _flatten(OmegaConf.to_container(config), "")
    yield from sorted(chosen_groups(name))


def _flatten(node: Any, prefix: str) -> Iterator[str]:
    if prefix:
        yield prefix
    if isinstance(node, dict):
        for key, value in node.items():
            if str(key).startswith("_"):
                continue
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
