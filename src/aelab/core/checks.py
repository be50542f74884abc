"""Numbers among plain values, as records and configurations hold them."""

import sys
from typing import Any, TypeGuard

from aelab.core.errors import ConfigurationError


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a finite number, and one that a float can hold; a truth value is none."""
    # An integer of JSON may be too large for a float, and comparing it, unlike converting it, is safe.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def at_least(least: int, **options: int | None) -> None:
    """ConfigurationError for an option below `least`, or no whole number; None is whatever there is."""
    for name, value in options.items():
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigurationError(f"{name}={value}: a whole number is needed")
        if value < least:
            raise ConfigurationError(f"{name}={value}: at least {least} is needed")
