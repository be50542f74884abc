"""Restoration: exact where the model is linear and Gaussian, and every degradation by every way."""

import pytest
import torch
from linear_gaussian import NOISE, SIZE, linear_gaussian
from omegaconf import OmegaConf
from torch import nn
from torch.testing import assert_close

from aelab.config.construct import construct
from aelab.config.folders import choices
from aelab.core.errors import AelabError, InapplicableError
from aelab.core.paths import conf_dir
from aelab.core.records import Batch
from aelab.core.seeds import drawn_from
from aelab.jobs.blur import Blur, Downsampling
from aelab.jobs.degradation import Degraded
from aelab.jobs.masks import Box, Missing
from aelab.jobs.noise import Additive, SaltAndPepper
from aelab.jobs.restoration import MostProbable, OnePass, Passes, PosteriorSamples
from aelab.models.distributions import Bernoulli, Gaussian

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def exact():
    """A model whose posterior is exact, the distribution of x that it defines, and observations of it."""
    model, evidence = linear_gaussian(exact=True)
    model.requires_grad_(False)
    torch.manual_seed(0)
    return model, evidence, evidence.sample((6,))


def made(group, name, **options):
    return construct({**OmegaConf.load(conf_dir() / group / f"{name}.yaml"), **options}, name)


def conditional(evidence, y, hidden):
    """Mean and variance of a Gaussian's hidden values given the others, and these themselves."""
    mean, variance = y.clone(), torch.zeros_like(y)
    for row, mask in enumerate(hidden.bool()):
        a, b = evidence.covariance_matrix[mask][:, ~mask], evidence.covariance_matrix[~mask][:, ~mask]
        gain = a @ b.inverse()
        mean[row, mask] = evidence.mean[mask] + gain @ (y[row] - evidence.mean)[~mask]
        rest = evidence.covariance_matrix[mask][:, mask] - gain @ a.T
        variance[row, mask] = rest.diagonal()
    return mean, variance


@pytest.fixture
def hidden(exact):
    torch.manual_seed(1)
    return Missing(0.4)(exact[2])


def restored(way, exact, left):
    with drawn_from(0, CPU):
        return way(exact[0], left, Batch(left.shown))


def test_the_most_probable_code_inpaints_the_conditional_mean(exact, hidden):
    mean, _ = conditional(exact[1], hidden.y, hidden.hidden)
    assert_close(restored(MostProbable(steps=600), exact, hidden).mean, mean, rtol=0, atol=1e-3)


@pytest.mark.parametrize("way", [Passes(40), PosteriorSamples(1, 40)])
def test_chains_inpaint_the_conditional_distribution(exact, hidden, way):
    copies = Degraded(
        *(v.repeat(200, 1) for v in (hidden.y, hidden.y)), hidden.cause, hidden.hidden.repeat(200, 1)
    )
    found = restored(way, exact, copies)
    mean, variance = conditional(exact[1], hidden.y, hidden.hidden)
    assert_close(found.mean.view(200, 6, SIZE).mean(0), mean, rtol=0, atol=0.1)
    total = found.deviation.square() + found.mean.square()
    over = total.view(200, 6, SIZE).mean(0) - found.mean.view(200, 6, SIZE).mean(0).square()
    assert_close(over.clamp_min(0).sqrt(), variance.sqrt(), rtol=0.1, atol=1e-3)


def test_a_linear_model_denoises_as_the_wiener_filter(exact):
    left = Additive(0.8)(exact[2])
    covariance = exact[1].covariance_matrix
    noisy = covariance + 0.8**2 * torch.eye(SIZE, dtype=torch.float64)
    wiener = exact[1].mean + (left.y - exact[1].mean) @ (covariance @ noisy.inverse()).T
    assert_close(restored(MostProbable(steps=600), exact, left).mean, wiener, rtol=0, atol=1e-3)
    spread = (covariance - covariance @ noisy.inverse() @ covariance).diagonal().sqrt()
    found = restored(PosteriorSamples(200, 40), exact, left)
    assert_close(found.deviation, spread.expand_as(left.y), rtol=0.1, atol=0)


def test_what_is_visible_stays_and_is_certain(exact, hidden):
    for way in (OnePass(), MostProbable(5), Passes(4), PosteriorSamples(2, 4)):
        found = restored(way, exact, hidden)
        seen = hidden.hidden == 0
        assert torch.equal(found.mean[seen], exact[2][seen])
        assert not found.deviation[seen].any()
        assert (found.deviation[~seen] > NOISE / 2).all()


@pytest.mark.parametrize("name", sorted(set(choices("degradation")) - {"mask"}))
def test_what_is_left_is_likeliest_under_the_truth_and_follows_from_the_seed(name):
    """log p(y|z) of the image itself beats that of another, for binary images, whose means are known."""
    torch.manual_seed(0)
    degradation = made("degradation", name)
    x = nn.functional.interpolate((torch.rand(8, 1, 4, 4) < 0.5).float(), scale_factor=4)
    with drawn_from(3, CPU):
        left = degradation(x)
    with drawn_from(3, CPU):
        assert torch.equal(left.y, degradation(x).y)
    assert left.shown.shape == x.shape
    assert left.y.shape[1:] == degradation.left((1, 16, 16))
    sure = (2 * x - 1) * 3
    p = Bernoulli(torch.stack([sure, sure.flip(0), torch.zeros_like(x)]), 3)
    nats = left.log_prob(p)
    assert nats.shape == (3, 8)
    assert (nats[0] > nats[1]).all()
    mean, variance = left.explained(p)
    assert mean.shape == variance.shape == (3, *x.shape)
    assert mean[0].sub(x).abs().mean() < 0.2
    assert (variance >= 0).all()


@pytest.mark.parametrize("degradation", [Blur(1.0, 0.05), Downsampling(2, 0.05)])
def test_the_density_of_fewer_details_has_the_moments_of_draws(degradation):
    torch.manual_seed(0)
    p = Gaussian(torch.rand(1, 1, 1, 8, 8), torch.full((1, 1, 1, 8, 8), 0.04).log(), 3)
    draws = degradation.draw(p.sample((4000,))[:, 0, 0])
    around = Gaussian(draws.mean(0), draws.var(0).log(), 3)
    left = degradation.of(draws[:1], (1, 8, 8))
    assert_close(left.log_prob(p)[0, 0], around.log_prob(left.y)[0], rtol=0, atol=1.5)


def test_salt_and_pepper_is_an_exact_mixture_of_a_binary_pixel():
    p = Bernoulli(torch.tensor([[[[[2.0]]]]]), 3)
    left = SaltAndPepper(0.3)(torch.ones(1, 1, 1, 1))
    one = torch.tensor(2.0).sigmoid()
    expected = (0.7 * torch.where(left.y[0, 0, 0, 0] == 1, one, 1 - one) + 0.15).log()
    assert_close(left.log_prob(p)[0, 0], expected)


def test_what_cannot_be_restored_is_said(exact):
    model, _, x = exact
    with pytest.raises(InapplicableError, match="fill in what is hidden"):
        restored(Passes(), exact, Additive()(x))
    with pytest.raises(InapplicableError, match="of images"):
        Box()(x)
    with pytest.raises(InapplicableError, match="which pixels are missing"):
        Missing().of(x, (SIZE,))
    bare, model.prior = model.prior, None
    with pytest.raises(InapplicableError, match="without a prior"):
        restored(MostProbable(), exact, Additive()(x))
    model.prior = bare
    for bad in ("scale=-1", "probability=1.5"):
        name, value = bad.split("=")
        with pytest.raises(AelabError, match=name):
            (Additive if name == "scale" else Missing)(float(value))
