"""Plain values of options, held against the annotations of the parts that take them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from aelab.core.checks import is_number
from aelab.core.errors import ConfigurationError

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

    What an annotation says of others than plain types is left to the part. key: where the part stands.
    """
    try:
        hints = get_type_hints(make.__init__ if isinstance(make, type) else make)  # type: ignore[misc]
    except (AttributeError, NameError, TypeError):  # of a part from elsewhere
        return
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            kinds = list(dict.fromkeys(_words(hints[name])))
            example = f", as [{value}]" if kinds[0].startswith(WORDS[list]) and is_number(value) else ""
            raise ConfigurationError(
                f"{key}.{name}={_written(value)}: {' or '.join(kinds)} is needed{example}"
            )


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value may be meant by an annotation: surely not where this is false."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if type(value) not in WORDS:
        return True
    if origin in LISTS:
        return isinstance(value, list) and (not inner or all(_fits(each, inner[0]) for each in value))
    if origin in TABLES:
        return isinstance(value, dict)
    if origin is float:
        return type(value) in (int, float)
    return origin not in WORDS or type(value) is origin


def _words(hint: Any) -> Iterator[str]:
    """What an annotation allows of plain values."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, UnionType):
        for each in inner:
            yield from _words(each)
    elif origin in LISTS:
        yield WORDS[list] + (MANY.get(inner[0], "") if inner else "")
    else:
        yield WORDS[dict if origin in TABLES else origin]


def _written(value: Any) -> str:
    """As the command line has it."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
