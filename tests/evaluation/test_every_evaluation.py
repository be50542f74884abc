"""Every variant is evaluated by every part: no part fails, and what is found is finite."""

import math

import pytest
from small import GANS, PARTS, TOLD, of_numbers, small

FACTORS = ["data=dsprites", "data.source.count=900", "data.validation=50"]


@pytest.mark.slow
@pytest.mark.parametrize("variant", of_numbers("variant"))
def test_every_variant_is_evaluated(train, evaluate, variant):
    encodes = variant not in GANS
    names = finite(evaluate(train(f"variant={variant}", base=small(variant))), encodes)
    assert ("likelihood/distortion" in names) == encodes  # critics fit no likelihood
    assert ("reconstruction/mse" in names) == encodes
    assert ("representation/linear_probe" in names) == (encodes and variant not in TOLD)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["condition=image"],
        ["prior=none", "objective=reconstruction", "monitor.metric=val/mse"],
        ["latent=1"],
        FACTORS,
        [*FACTORS, "variant=ae"],
        [*FACTORS, "condition=attributes"],
        [*FACTORS, "variant=hyperspherical_vae"],
    ],
    ids=" ".join,
)
def test_other_models_and_images_with_factors_are_evaluated(train, evaluate, overrides):
    names = finite(evaluate(train(*overrides)))
    known = overrides[: len(FACTORS)] == FACTORS and "condition=attributes" not in overrides
    assert any(name.startswith("disentanglement/") for name in names) == known


def finite(found, encodes=True):
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


def flat(estimate):
    """Its numbers, None where one was not finite."""
    yield estimate["value"]
    yield from estimate.get("confidence_interval", [])
    if "standard_error" in estimate:
        yield estimate["standard_error"]
