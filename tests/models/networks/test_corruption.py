import math

import pytest
import torch

from aelab.core.errors import ConfigurationError
from aelab.models.networks.corruption import GaussianNoise, Masking, SaltAndPepper

COUNT = 100_000
PROBABILITIES = [0.0, 0.1, 0.5, 0.9, 1.0]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def rate(p):
    """A share of COUNT values: p up to five standard errors."""
    return pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / COUNT))


@pytest.mark.parametrize("corruption", [GaussianNoise(), Masking(), SaltAndPepper()])
def test_a_corruption_leaves_its_input_alone_and_keeps_shape_and_type(corruption):
    x = torch.rand(8, 3, 5, 4, dtype=torch.float64)
    before = x.clone()
    corrupted = corruption(x)
    assert torch.equal(x, before)
    assert (corrupted.shape, corrupted.dtype) == (x.shape, x.dtype)
    assert not torch.equal(corrupted, x)
    assert not torch.equal(corrupted, corruption(x))


@pytest.mark.parametrize("p", PROBABILITIES)
def test_masking_sets_its_share_of_values_to_zero(p):
    x = torch.full((COUNT,), 0.5)
    masked = Masking(p)(x)
    assert (masked == 0).double().mean().item() == rate(p)
    assert set(masked.unique().tolist()) <= {0.0, 0.5}


@pytest.mark.parametrize("p", PROBABILITIES)
def test_salt_and_pepper_come_in_equal_shares(p):
    noisy = SaltAndPepper(p)(torch.full((COUNT,), 0.5))
    for value, share in ((0.0, p / 2), (1.0, p / 2), (0.5, 1 - p)):
        assert (noisy == value).double().mean().item() == rate(share)


@pytest.mark.parametrize("scale", [0.0, 0.3, 2.0])
def test_gaussian_noise_has_no_mean_and_its_scale(scale):
    x = torch.rand(COUNT)
    noise = (GaussianNoise(scale)(x) - x).double()
    assert noise.mean().item() == pytest.approx(0, abs=5 * scale / math.sqrt(COUNT))
    assert noise.std().item() == pytest.approx(scale, abs=5 * scale / math.sqrt(2 * COUNT))


@pytest.mark.parametrize("corruption", [Masking, SaltAndPepper])
@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan, math.inf])
def test_what_is_no_probability_is_refused(corruption, p):
    with pytest.raises(ConfigurationError, match="probability"):
        corruption(p)
