"""What every evaluation of a model owes."""

import math
from collections.abc import Iterator
from typing import Any

from small import PARTS


def finite(found: dict[str, Any], encodes: bool = True) -> set[str]:
    """The names of the estimates, after all that each evaluation of a model owes was checked."""
    assert set(found["seconds"]) == set(PARTS)
    assert not [why for why in found["left_out"].values() if why.startswith("failed")]
    numbers = [(name, value) for name, each in found["estimates"].items() for value in flat(each)]
    assert not [name for name, value in numbers if value is None or not math.isfinite(value)]
    missing = {**found["undefined"], **found["left_out"]}
    assert all(missing.values())
    named = {name.split("/")[0] for name in (*found["estimates"], *missing)}
    assert set(PARTS) - named <= {"interpretability"}  # which leaves pictures and a table
    assert ("classes.png" in found["figures"]) == encodes
    # What an encoder is told is not asked of its codes.
    absent = {"interpretability/carriers", "interpretability"} & found["left_out"].keys()
    assert ("carriers.png" in found["figures"]) != bool(absent)
    return set(found["estimates"])


def flat(estimate: dict[str, Any]) -> Iterator[Any]:
    """Its numbers, None where one was not finite."""
    yield estimate["value"]
    yield from estimate.get("confidence_interval", [])
    if "standard_error" in estimate:
        yield estimate["standard_error"]
