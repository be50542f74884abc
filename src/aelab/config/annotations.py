"""Plain values of options, held against the annotations of the parts that take them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import signature
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from aelab.core.checks import is_number
from aelab.core.errors import ConfigurationError

PART = "a part by its _target_"
WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    NoneType: "null",
    list: "a list",
    dict: "options by name",
}
MANY: dict[Any, str] = {int: " of whole numbers", float: " of numbers", str: " of words"}
LISTS, TABLES = (list, tuple, Sequence), (dict, Mapping)


def check_types(make: Callable[..., Any], values: Mapping[str, Any], key: str) -> None:
    """Refuse a plain value that no annotation of its argument allows, as a number where a list is needed.

    Words for what is no plain type are left to the part, which may read them, and so is an argument's own
    default, as `width: int = None` has it. key: where the part stands.
    """
    read = make.__init__ if isinstance(make, type) else make  # type: ignore[misc]
    try:
        hints, takes = get_type_hints(read), signature(read).parameters
    except (AttributeError, NameError, TypeError, ValueError):  # of a part from elsewhere
        return
    for name, value in values.items():
        if name in takes and value is takes[name].default:
            continue
        for place, given, hint in _odd(value, hints.get(name, Any), f"{key}.{name}"):
            kinds = list(dict.fromkeys(_words(hint)))
            example = f", as [{given}]" if kinds[0].startswith(WORDS[list]) and is_number(given) else ""
            raise ConfigurationError(f"{place}={_written(given)}: {' or '.join(kinds)} is needed{example}")


def _odd(value: Any, hint: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """What of a value its annotation does not allow: where it stands, what it is, and what it should be."""
    inner = [each for table in _choices(hint) if get_origin(table) in TABLES for each in get_args(table)[1:]]
    if type(value) is dict and len(inner) == 1:
        for name, each in value.items():
            yield from _odd(each, inner[0], f"{key}.{name}")
    elif not _fits(value, hint):
        yield key, value, hint


def _choices(hint: Any) -> Iterator[Any]:
    """What a union is of, or the annotation itself; the bound of a variable."""
    if get_origin(hint) in (Union, UnionType):
        for each in get_args(hint):
            yield from _choices(each)
    elif isinstance(hint, TypeVar):
        yield hint.__bound__ or Any
    else:
        yield hint


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value may be meant by an annotation: surely not where this is false."""
    return type(value) not in WORDS or any(_fits_one(value, each) for each in _choices(hint))


def _fits_one(value: Any, hint: Any) -> bool:
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return True
    if kind in LISTS:
        return isinstance(value, list) and all(_fits(each, inner[0]) for each in value if inner)
    if kind in TABLES:
        return isinstance(value, dict)
    if kind is float:
        return type(value) in (int, float)
    if kind in WORDS:
        return type(value) is kind
    if kind is Callable:
        return False
    named = isinstance(kind, type) and not getattr(kind, "_is_protocol", False)
    return isinstance(value, kind) if named and not isinstance(value, str) else True


def _words(hint: Any) -> Iterator[str]:
    """What an annotation allows."""
    for each in _choices(hint):
        kind, inner = get_origin(each) or each, get_args(each)
        if kind in LISTS:
            yield WORDS[list] + (MANY.get(inner[0], "") if inner else "")
        else:
            yield WORDS[dict] if kind in TABLES else WORDS.get(kind, PART)


def _written(value: Any) -> str:
    """As the command line has it."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(value)}}}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
