"""The configuration that a run's folder records."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from aelab.core.errors import RunError
from aelab.core.text import printable, sentence

# Where a run's folder keeps its configuration, and the weights that validation chose.
CONFIG, BEST = "config.yaml", "checkpoints/best.ckpt"
NAME = ""  # the key of the names of a node among its leaves
NEEDED: dict[str, type] = {
    "name": str,
    "seed": int,
    "data": dict,
    "model": dict,
    "training": dict,
    "start": dict,
}


def recorded_settings(path: Path) -> DictConfig:
    """The configuration in the file at `path`, as a run composed it; it may name anything to be built.

    Raises RunError where there is none, it cannot be read, or is of an earlier layout of the project.
    """
    config = read_settings(path)
    check_layout(OmegaConf.to_container(config, resolve=False), path)
    return config


def read_settings(path: Path) -> DictConfig:
    """The same of a run that code of any layout has made."""
    try:
        config = OmegaConf.load(path)
        plain = OmegaConf.to_container(config, resolve=False)
    except (OSError, YAMLError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read ({sentence(error)}): give a run as it was recorded") from error
    if not isinstance(config, DictConfig) or not isinstance(plain, dict):
        raise RunError(f"{path} holds no configuration of a run: give one as it was recorded")
    odd = [key for key, kind in NEEDED.items() if type(plain.get(key)) is not kind]
    if odd:
        raise RunError(
            f"{path} holds no configuration of a run ({', '.join(odd)}: missing, or not what a run "
            "records): give one as it was recorded"
        )
    return config


def check_layout(plain: Any, path: Path) -> None:
    """RunError for a configuration, as plain containers, with parts in packages that the project has not."""
    targets = [value for key, value in leaves(plain) if key == "_target_" and isinstance(value, str)]
    for target in targets:
        if target.startswith("aelab.") and target.split(".")[1] not in _packages():
            raise RunError(
                f"{path} is of an earlier layout of aelab (it names {printable(target)}): train the run "
                "again, or check out the commit in its record.json"
            )


@cache
def _packages() -> frozenset[str]:
    return frozenset(file.parent.name for file in Path(__file__).parents[1].glob("*/__init__.py"))


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Values and what they are called, and the names themselves, which are called `NAME`."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield NAME, name
            if name == "_target_":
                yield name, value
            else:
                yield from leaves(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value, key)
    else:
        yield key, node
