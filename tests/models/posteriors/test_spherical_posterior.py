"""A posterior on the sphere of one concentration, whose rate no encoder changes."""

import pytest
import torch
from torch.distributions import kl_divergence
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models import distributions
from aelab.models.distributions.spherical import SphereUniform
from aelab.models.posteriors import VonMisesFisher


def test_the_rate_of_a_fixed_concentration_is_the_same_for_every_observation():
    torch.manual_seed(0)
    q = VonMisesFisher(8, Sizes(latent=5), concentration=12.0)(torch.randn(40, 8))
    rate = kl_divergence(q, SphereUniform(torch.zeros(5)))
    alone = distributions.VonMisesFisher(torch.eye(5)[:1], torch.tensor([12.0]))
    assert_close(rate, kl_divergence(alone, SphereUniform(torch.zeros(5))).expand(40))
    assert q.direction.std(0).min() > 0.1


def test_a_concentration_is_above_0():
    with pytest.raises(ConfigurationError, match=r"model\.posterior\.concentration=0\.0: above 0"):
        VonMisesFisher(8, Sizes(latent=5), concentration=0.0)
