"""What a place holds is another likelihood, chosen on the command line."""

import pytest
import torch

from aelab.config.compose import compose
from aelab.config.construct import construct


@pytest.mark.parametrize(
    "overrides",
    [
        ["likelihood=pixel_cnn", "likelihood@model.likelihood.of=bernoulli"],
        ["likelihood=frames", "data=tones", "likelihood@model.likelihood.of=laplace"],
        ["likelihood=wavenet", "data=tones", "view=waveform", "likelihood@model.likelihood.of=categorical"],
        ["likelihood=wavenet", "data=tones", "view=waveform", "model.likelihood.of.levels=16"],
    ],
    ids=["pixel_cnn", "frames", "wavenet", "levels"],
)
@torch.no_grad()
def test_what_is_chosen_of_a_place_is_built_and_leaves_nothing_of_the_default(overrides):
    config = compose(overrides)
    likelihood = construct(config.model.likelihood, "model.likelihood")
    shape = likelihood.parameters_of(tuple(config.data.shape))
    x = torch.zeros(1, *config.data.shape)
    assert likelihood(torch.zeros(1, 1, *shape)).log_prob(x).isfinite().all()
    assert likelihood.levels == getattr(likelihood.of, "levels", None)
