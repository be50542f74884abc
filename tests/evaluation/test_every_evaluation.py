"""Models of other kinds are evaluated by every part, as every variant is: what is found is finite."""

import pytest
from findings import finite

FACTORS = ["data=dsprites", "data.source.count=900", "data.validation=50"]


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
