"""Codes that are maps: a convolutional posterior and its decoder, flat wherever the code travels."""

from functools import partial

import pytest
import torch
from oracles import undecoded
from small import SMALL
from torch import nn
from torch.distributions import Normal
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Sizes, Trace
from aelab.models import autoencoder, posteriors
from aelab.models.conditions import OneHot
from aelab.models.distributions import Gaussian, StandardGaussian, divergence
from aelab.models.likelihoods import Bernoulli
from aelab.models.networks.conv import ConvDecoder, ConvEncoder
from aelab.models.networks.mlp import MLPDecoder
from aelab.models.priors import StandardNormal
from aelab.objectives.aggregate import MMD, TotalCorrelation
from aelab.objectives.rates import FreeBits
from aelab.runs.build import build as build_parts

SHAPE, LATENT, LAYOUT = (1, 17, 13), 2, (2, 5, 4)  # of the image, at each place, and of the code
CHANNELS = [3, 6]
FRONT = ["network=conv", "network.channels=[4,8]", "model.encoder.flat=false", "latent=2"]
BATCHES = [option for option in SMALL if "widths" not in option]


def build(**slots):
    torch.manual_seed(0)
    parts = {
        "encoder": partial(ConvEncoder, channels=CHANNELS, activation=nn.Tanh, flat=False),
        "posterior": posteriors.DiagonalGaussian,
        "decoder": partial(ConvDecoder, channels=CHANNELS, activation=nn.Tanh),
        "prior": StandardNormal,
        "likelihood": Bernoulli(),
    } | slots
    return autoencoder(SHAPE, LATENT, 3, **parts)


def batch(count=4):
    return Batch(torch.rand(count, *SHAPE), torch.arange(count) % 3)


def reach(place):
    """The rows, or columns, that one of a code sees through two layers of kernel 3 and stride 2."""
    return range(4 * place - 3, 4 * place + 4)


@pytest.mark.parametrize("posterior", [posteriors.Deterministic, posteriors.DiagonalGaussian])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_map_is_a_flat_code_of_its_layout(posterior, samples):
    model = build(posterior=posterior)
    trace = model(batch(), samples)
    assert (model.posterior.layout, model.latent, model.decoded) == (LAYOUT, 40, 40)
    assert (trace.posterior.batch_shape, trace.posterior.event_shape) == ((4,), (40,))
    assert trace.z.shape == (samples, 4, 40)
    assert trace.likelihood.mean.shape == (samples, 4, *SHAPE)
    assert model.sample(5).shape == (5, *SHAPE)


def test_its_density_is_that_of_a_gaussian_at_every_place():
    model, given = build(), batch()
    features = model.encoder(given.x)
    head = model.posterior.projection
    each = torch.einsum("oc,bchw->bohw", head.weight[..., 0, 0], features) + head.bias[:, None, None]
    loc, log_variance = each[:, :LATENT], each[:, LATENT:]
    trace = model(given, 3)
    density = Normal(loc, (log_variance / 2).exp()).log_prob(trace.z.unflatten(-1, LAYOUT)).sum((-1, -2, -3))
    assert_close(trace.posterior.log_prob(trace.z), density, rtol=1e-4, atol=1e-4)
    flat = Gaussian(loc.flatten(1), log_variance.flatten(1))
    assert_close(divergence(trace.posterior, trace.prior, trace.z), divergence(flat, trace.prior, trace.z))


def test_each_place_depends_on_its_receptive_field_and_on_all_of_it():
    model = build()
    x = torch.rand(1, *SHAPE, requires_grad=True)
    for statistic in ("loc", "log_variance"):
        for i, j in ((0, 0), (1, 2), (4, 3)):
            place = getattr(model.encode(x), statistic).unflatten(-1, LAYOUT)[0, :, i, j]
            (slope,) = torch.autograd.grad(place.sum(), x)
            seen = {(r, c) for r in reach(i) for c in reach(j) if 0 <= r < SHAPE[1] and 0 <= c < SHAPE[2]}
            assert set(map(tuple, slope[0, 0].nonzero().tolist())) == seen


def test_each_place_reaches_the_pixels_around_it_alone():
    model = build()
    z = torch.randn(1, 1, 40, requires_grad=True)
    slopes = torch.autograd.functional.jacobian(lambda z: model.decode(z).mean[0, 0, 0], z)[:, :, 0, 0]
    moved = slopes.unflatten(-1, LAYOUT).ne(0).any(2)  # (H, W, h, w)
    for i, j in ((0, 0), (1, 2), (4, 3)):
        near = {(r, c) for r in reach(i) for c in reach(j) if 0 <= r < SHAPE[1] and 0 <= c < SHAPE[2]}
        assert set(map(tuple, moved[:, :, i, j].nonzero().tolist())) == near


def test_a_map_is_decoded_with_its_condition_and_by_any_network():
    model, given = build(conditioner=OneHot), batch()
    trace = model(given, 2)
    for b in range(4):
        alone = model.decode(trace.z[:, b : b + 1], trace.context[b : b + 1])
        assert_close(alone.mean[:, 0], trace.likelihood.mean[:, b])
    other = model.decode(trace.z, 1 - trace.context)
    assert ((other.mean - trace.likelihood.mean).abs().flatten(2).amax(-1) > 1e-4).all()
    assert build(decoder=partial(MLPDecoder, widths=[4]))(given).likelihood.mean.shape == (1, 4, *SHAPE)


@pytest.mark.parametrize("strides", [[1, 2], [2, 3]])
def test_a_decoder_of_other_strides_is_refused(strides):
    with pytest.raises(ConfigurationError, match=r"\[2, 5, 4\] .*the same strides"):
        build(decoder=partial(ConvDecoder, channels=CHANNELS, strides=strides))


@pytest.mark.parametrize(
    "posterior",
    [
        posteriors.LowRankGaussian,
        posteriors.FullGaussian,
        partial(posteriors.Flow, step=posteriors.Planar),
        posteriors.VonMisesFisher,
        partial(posteriors.GumbelCategorical, categories=2),
        partial(posteriors.JointGaussianCategorical, discrete=[2]),
        partial(posteriors.BottomUp, upper=[1]),
        partial(posteriors.Ladder, upper=[1]),
    ],
)
def test_other_posteriors_refuse_a_map_and_say_what_would_do(posterior):
    with pytest.raises(ConfigurationError, match=r"model.encoder.flat=true, or posterior=diagonal_gaussian"):
        posterior((6, 5, 4), Sizes(latent=4))


def test_terms_of_flat_codes_know_nothing_of_the_map():
    trace = build()(batch(6))
    flat = Gaussian(trace.posterior.loc, trace.posterior.log_variance)
    other = Trace(trace.batch, trace.x, None, flat, StandardGaussian(torch.zeros(40)), trace.z, undecoded)
    for term in (TotalCorrelation(), FreeBits()):
        assert_close(term(trace, None), term(other, None))
    assert MMD()(trace, None).isfinite()


def test_it_trains_through_the_front_door_and_is_probed_as_any_code(train, evaluate):
    run = train(*FRONT, "prior=vamp", "model.prior.components=5", base=BATCHES)
    assert run.read()["metrics"]["test/elbo"] < 0
    found = evaluate(run, *(f"suite.parts.{name}=null" for name in ("generation", "generation_mixture")))
    assert "representation/linear_probe" in found["estimates"]
    assert not [why for why in found["left_out"].values() if why.startswith("failed")]


@pytest.mark.parametrize(
    "choice",
    [
        ["prior=realnvp"],
        ["variant=wae_mmd"],
        ["variant=beta_tc_vae"],
        ["variant=hvae"],
        ["network=resnet"],
        ["condition=label", "prior=conditional"],
        ["variant=ae"],
    ],
    ids=" ".join,
)
def test_a_map_goes_with_every_part_that_reads_codes(choice):
    parts = build_parts(compose([*BATCHES, *FRONT, *choice]))
    assert (parts.training.model.latent, parts.training.model.posterior.layout) == (8, (2, 2, 2))
