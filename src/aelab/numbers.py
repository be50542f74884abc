"""Numbers among plain values, as records and configurations hold them."""

import sys
from typing import Any, TypeGuard


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a finite number, and one that a float can hold; a truth value is none."""
    # An integer of JSON may be too large for a float, and comparing it, unlike converting it, is safe.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
