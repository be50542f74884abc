"""How far back causal networks see, beside what their configurations say of it."""

import re

import pytest
import torch
import yaml

from aelab.config.construct import construct
from aelab.core.paths import conf_dir


@pytest.mark.parametrize(
    ("likelihood", "grid", "own"),
    [("dilated", (300, 1), 0), ("wavenet", (600, 1), 0), ("pixel_cnn", (20, 3), 1)],
)
def test_it_is_what_the_configuration_says(likelihood, grid, own):
    """own: rows seen that are the place's own; in one line these are of the place before it."""
    text = (conf_dir() / "likelihood" / f"{likelihood}.yaml").read_text()
    torch.manual_seed(0)
    network = construct(yaml.safe_load(text)["network"], "network")(width=4, grid=grid).double()
    x = torch.randn(1, grid[0] * grid[1], 4, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(network(x)[0, -1].sum(), x)
    seen = slope.view(*grid, 4).flatten(1).any(1).sum() - own
    assert re.findall(r"they see (\d+)", text) == [str(int(seen))]
