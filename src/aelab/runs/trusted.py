"""What the configuration of a run's folder may name: the folder is data, and may come from anywhere."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from aelab.errors import RunError
from aelab.locations import conf_dir
from aelab.runs.folder import RunFolder

NEEDED = {"name", "seed", "data", "model", "training"}


def trusted_settings(folder: RunFolder) -> DictConfig:
    """The recorded configuration of a run, if it names nothing to be built but the parts listed in conf/.

    The names are compared whole: a part of the project would lead to all that it imports.
    Raises RunError where there is none, it cannot be read, names other things, or interpolates, which could
    read the environment.
    """
    try:
        config = OmegaConf.load(folder.config)
        plain = OmegaConf.to_container(config, resolve=False)
    except (OSError, YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{folder.config} cannot be read ({reason}): give a run as it was recorded") from error
    if not isinstance(config, DictConfig) or not NEEDED.issubset(config):
        raise RunError(f"{folder.config} holds no configuration of a run: give one as it was recorded")
    for key, value in _leaves(plain):
        if key == "_target_" and not (isinstance(value, str) and value in parts()):
            raise RunError(
                f"{folder.config} names {value!r}, which is no part that conf/ lists, and nothing of it was "
                "built: give a run of the project's own parts, or list the part in a file under conf/"
            )
        if isinstance(value, str) and "${" in value:
            raise RunError(
                f"{folder.config} is not resolved: {key} is {value!r}; give a run as it was recorded"
            )
    return config


@cache
def parts() -> frozenset[str]:
    """The `_target_`s of all files under conf/."""
    files = (
        OmegaConf.to_container(OmegaConf.load(path), resolve=False) for path in conf_dir().rglob("*.yaml")
    )
    return frozenset(value for file in files for key, value in _leaves(file) if key == "_target_")


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield "", name
            if name == "_target_":
                yield name, value
            else:
                yield from _leaves(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, key)
    else:
        yield key, node
