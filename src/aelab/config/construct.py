"""From a node of a configuration to its object: the one place where what a configuration names is called."""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

from omegaconf import OmegaConf

from aelab.config.annotations import check_types
from aelab.config.trusted import OPTIONS, check_parts
from aelab.core.errors import ConfigurationError
from aelab.core.text import sentence


def construct(node: Any, key: str, /, **arguments: Any) -> Any:
    """The object of a node: each `_target_` called with the rest by name, or made a partial; None for None.

    Containers become plain ones, which checkpoints can hold. key: where the node stands, for errors.
    arguments: take the place of the node's own.

    Raises ConfigurationError for a target that is not there, and with the reason of a part that refuses its
    arguments; any other exception of a part is a defect, and keeps its traceback.
    """
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, list):
        return [construct(value, f"{key}.{place}") for place, value in enumerate(node)]
    if not isinstance(node, dict):
        return node
    given = {name: value for name, value in node.items() if name not in (*OPTIONS, *arguments)}
    values = {name: construct(value, f"{key}.{name}") for name, value in given.items()} | arguments
    return _called(node, values, key) if "_target_" in node else values


def construct_recorded(node: Any, key: str) -> Any:
    """The object of a node of a run's folder, which may name the parts alone that conf/ lists.

    Raises RunError for another, before anything is imported, and otherwise as `construct` does.
    """
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    check_parts(node, key)
    return construct(node, key)


def locate(target: Any, key: str) -> Any:
    """The class or function that a dotted name leads to; ConfigurationError where there is none."""
    names = target.split(".") if isinstance(target, str) else []
    if not all(name.isidentifier() for name in names) or len(names) < 2:
        raise ConfigurationError(f"{key} names {target!r}: give a class or function, as package.module.Name")
    for end in range(len(names) - 1, 0, -1):
        module = ".".join(names[:end])
        try:
            found: Any = import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there, and misses another
            continue
        return _attribute(found, names[end:], target, key)
    raise ConfigurationError(
        f"{key} names {target!r}, and there is no module {names[0]!r}: correct it, or put the folder that "
        "holds the module on PYTHONPATH"
    )


def _attribute(found: Any, names: list[str], target: str, key: str) -> Any:
    module = found.__name__
    for name in names:
        if not hasattr(found, name):
            raise ConfigurationError(
                f"{key} names {target!r}, and {module} has no {'.'.join(names)!r}: correct it"
            )
        found = getattr(found, name)
    if not callable(found):
        raise ConfigurationError(f"{key} names {target!r}, which cannot be called: give a class or function")
    return found


def _check_names(make: Any, target: str, arguments: Mapping[str, Any], key: str) -> None:
    """Refuse an option that a part does not have, here and not where a partial is called."""
    try:
        known = signature(make).parameters.values()
    except ValueError:  # written in C
        return
    odd = arguments.keys() - {each.name for each in known}
    if odd and all(each.kind is not Parameter.VAR_KEYWORD for each in known):
        name = min(odd)
        raise ConfigurationError(
            f"{target} takes no argument {name!r} (in {key}): correct it, or, where it is left of the part "
            f"that this one replaces, delete it by '~{key}.{name}'"
        )


def _called(node: Mapping[str, Any], arguments: Mapping[str, Any], key: str) -> Any:
    foreign = [name for name in arguments if not isinstance(name, str) or name.startswith("_")]
    if foreign:
        raise ConfigurationError(f"{key} has {foreign[0]!r}: arguments are given by their names alone")
    make = locate(node["_target_"], key)
    _check_names(make, node["_target_"], arguments, key)
    check_types(make, arguments, key)
    if node.get("_partial_"):
        return partial(make, **arguments)
    try:
        return make(**arguments)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{sentence(error)} (in {key})") from error
    except Exception as error:
        error.add_note(f"(in {key})")
        raise
