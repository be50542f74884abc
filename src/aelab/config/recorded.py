"""What a run's folder records: its configuration, and what is known of it."""

import io
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from aelab.core.checks import is_number
from aelab.core.errors import RunError
from aelab.core.text import printable, sentence
from aelab.core.untrusted import DEEPEST, read_bytes, sealed_object

# libyaml's takes a tenth of the time.
Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MOST_SETTINGS = 20_000  # keys, values and their containers

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
NUMBER = int | float | None  # of a record: what was not finite is null


def _are(kind: Any, values: Any) -> bool:
    return all(isinstance(value, kind) and not isinstance(value, bool) for value in values)


# What a resume or a report reads of a record, where it is there, and what it can be.
USABLE: dict[str, Callable[[Any], bool]] = {
    "run_id": lambda found: isinstance(found, str) and bool(re.fullmatch("[A-Za-z0-9_-]{1,64}", found)),
    "threads": lambda found: _are(int, [found]) and 1 <= found <= MOST_THREADS,
    "processes": lambda found: _are(int | None, [found]),
    "seconds": lambda found: found is None or (is_number(found) and found >= 0),
    "resumes": lambda found: _are(int, [found]) and found >= 0,
    "metrics": lambda found: isinstance(found, dict) and _are(NUMBER, found.values()),
    "quantities": lambda found: isinstance(found, dict) and _are(dict, found.values()),
    "command": lambda found: isinstance(found, list) and _are(str, found),
    "files": lambda found: isinstance(found, dict) and _are(str, found.values()),
    "continued": lambda found: isinstance(found, list) and _are(dict, found),
}
MOST_THREADS = 4096


def recorded_facts(path: Path) -> dict[str, Any]:
    """The record in the file at `path`; RunError where it is damaged, or has what no run writes."""
    record = sealed_object(path)
    for key, is_usable in USABLE.items():
        if key in record and not is_usable(record[key]):
            raise RunError(f"{path} has no usable {key}: give a run as it was recorded")
    return record


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
        config = OmegaConf.load(io.StringIO(plain_yaml(path).decode()))
        plain = OmegaConf.to_container(config, resolve=False)
    except (OSError, YAMLError, ValueError) as error:
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


def plain_yaml(path: Path) -> bytes:
    """The content of a file of YAML, which has been found to be what a run writes: flat enough, no aliases.

    A few aliases within each other make a short file endless, and deep ones end the parser with the process.
    Raises RunError for others, and YAMLError, ValueError or OSError as reading does.
    """
    content, depth = read_bytes(path), 0
    for settings, event in enumerate(yaml.parse(content, Parser)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST or settings > MOST_SETTINGS:
            raise RunError(
                f"{path} holds aliases, or more settings than a run has: give one as it was recorded"
            )
    return content


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
