"""From a trusted configuration to its objects, as Hydra makes them, without Hydra."""

from functools import partial
from pkgutil import resolve_name
from typing import Any

from aelab.config.trusted import OPTIONS, parts
from aelab.core.errors import ConfigurationError, RunError
from aelab.core.text import sentence


def construct(node: Any, key: str = "model") -> Any:
    """The object of a node of plain containers: each `_target_` called with the rest, or made a partial.

    Raises RunError for a target that conf/ does not list, and ConfigurationError with the reason of a part
    that refuses its arguments.
    """
    if isinstance(node, list):
        return [construct(value, f"{key}.{place}") for place, value in enumerate(node)]
    if not isinstance(node, dict):
        return node
    values = {name: construct(value, f"{key}.{name}") for name, value in node.items() if name not in OPTIONS}
    return _called(node, values, key) if "_target_" in node else values


def _called(node: dict[str, Any], arguments: dict[str, Any], key: str) -> Any:
    target = node["_target_"]
    foreign = sorted(name for name in map(str, arguments) if name.startswith("_"))
    if target not in parts() or foreign:
        raise RunError(f"{key} asks for {foreign or target!r}, which no part of conf/ does: nothing is built")
    make = resolve_name(target)
    if node.get("_partial_"):
        return partial(make, **arguments)
    try:
        return make(**arguments)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{sentence(error)} (in {key})") from error
