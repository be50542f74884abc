"""A variational recurrent network: what it reads, what is left without the past, and how it is sampled."""

from functools import partial

import pytest
import torch
from oracles import assert_mean
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.records import Batch
from aelab.models import Autoencoder, autoencoder
from aelab.models.conditions import OneHot, VisibleQuadrants
from aelab.models.distributions import divergence
from aelab.models.evidence import log_weights
from aelab.models.likelihoods import Gaussian, Ordered
from aelab.models.networks.causal import Recurrent
from aelab.models.networks.frames import FramesDecoder, FramesEncoder
from aelab.models.posteriors import DiagonalGaussian, GaussianSteps
from aelab.models.priors import GaussianSteps as Prior
from aelab.models.recurrent import VariationalRecurrent

SHAPE, LATENT = (1, 2, 4), 2


def build(observed=True, bidirectional=False, structure=VariationalRecurrent, condition=None):
    torch.manual_seed(0)
    likelihood = Ordered(SHAPE, Gaussian(0.5, bounds=None), Recurrent, width=6, told=3, places=1)
    model = autoencoder(
        SHAPE, LATENT, 3 if condition else None,
        encoder=partial(FramesEncoder, width=5), posterior=partial(GaussianSteps, network=Recurrent, width=5),
        decoder=partial(FramesDecoder, width=5, bidirectional=bidirectional), likelihood=likelihood,
        prior=partial(Prior, network=Recurrent, width=5, observed=observed), structure=structure,
        conditioner=condition,
    ).eval()  # fmt: skip
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, 0, 0.7)
    return model


def log_p(model, x, z):
    """log p(x, z) of observations (N, *event) and codes (N, latent), frame by frame: (N, T)."""
    prior = model._prior(None, x)
    p, steps = prior.along(z), z.view(len(z), LATENT, -1).transpose(1, 2)
    codes = torch.distributions.Normal(p.loc, (0.5 * p.log_variance).exp()).log_prob(steps).sum(-1)
    return codes + model.decode(z[None]).each(x)[0].sum((1, 2))


def test_the_joint_density_of_a_frame_reads_no_later_code_and_no_later_frame():
    model = build()
    x = torch.rand(1, *SHAPE, requires_grad=True)
    z = torch.randn(1, 8, requires_grad=True)
    each = log_p(model, x, z)[0]
    for place in range(4):
        of_x, of_z = torch.autograd.grad(each[place], (x, z), retain_graph=True)
        for slopes in (of_x[0, 0], of_z.view(2, 4)):
            assert (slopes.abs().sum(0) > 0).tolist() == [other <= place for other in range(4)]


@torch.no_grad()
def test_samples_are_of_the_density_that_scores_them():
    """Whatever the weights, the mean of d log p / d weights over samples is 0."""
    model, step = build(), 1e-3
    torch.manual_seed(1)
    x, z = model.draw(4000)
    for part in (model.prior, model.decoder, model.likelihood.network, model.likelihood.value):
        scores = []
        for parameter in part.parameters():
            way = torch.randn_like(parameter)
            ends = []
            for size in (step, -step):
                parameter += size * way
                ends.append(log_p(model, x, z).double().sum(1))
                parameter -= size * way
            scores.append((ends[0] - ends[1]) / (2 * step))
        assert_mean(torch.stack(scores, 1), 0.0)
        assert torch.stack(scores).std() > 0.1


@pytest.mark.parametrize("condition", [None, OneHot])
@torch.no_grad()
def test_each_step_is_read_once_for_the_draws_of_reading_all_again(condition):
    model, read = build(condition=condition), []
    context = None if condition is None else torch.eye(3)[[0, 1, 2, 0, 1]]
    for part in (model.prior.moments, model.decoder, model.likelihood):
        part.output.register_forward_hook(lambda _, inputs, __: read.append(inputs[0][..., 0].numel()))
    torch.manual_seed(1)
    x, z = model.draw(5, context)
    assert read == 3 * 4 * [5]
    torch.manual_seed(1)
    steps, means = z.view(5, LATENT, 4), []
    p = model._prior(context, x).along(z)
    likelihood = model.decode(z[None], context)
    model.likelihood.walk(
        likelihood.told[0], lambda of: means.append(of.mean) or of.mean, lambda _, place: x[:, 0, :, place]
    )
    for place, mean in enumerate(means):
        of_z, of_x = torch.randn(5, 1, LATENT), torch.randn(1, 5, 2, 1, 1)
        scale = (0.5 * p.log_variance[:, place]).exp()
        assert_close(steps[..., place], p.loc[:, place] + scale * of_z[:, 0])
        assert_close(x[:, 0, :, place], (mean + 0.5 * of_x)[0, ..., 0, 0])


class Longer(nn.Module):
    """A decoder with what is left of a likelihood that reads nothing before."""

    def __init__(self, decoder, likelihood):
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood

    def forward(self, z, context=None):
        told = self.likelihood.tell(self.decoder(z, context).transpose(1, 2))
        read = torch.cat([told[:, :1], told[:, 1:] + self.likelihood.value.bias], 1)
        return self.likelihood.output(self.likelihood.network(read)).transpose(1, 2).unflatten(1, (1, 2))


@torch.no_grad()
def test_without_the_past_it_is_a_recurrent_autoencoder_of_codes():
    model = build()
    model.likelihood.value.weight.zero_()
    model.prior.moments.tell.weight.zero_()
    model.posterior.moments.output.weight.zero_()
    model.posterior.moments.output.bias.zero_()
    torch.manual_seed(2)
    plain = autoencoder(
        SHAPE, LATENT, None,
        encoder=partial(FramesEncoder, width=5), posterior=DiagonalGaussian,
        decoder=lambda sizes: Longer(model.decoder, model.likelihood), likelihood=Gaussian(0.5, bounds=None),
        prior=partial(Prior, network=Recurrent, width=5),
    ).eval()  # fmt: skip
    plain.encoder = model.encoder
    plain.posterior.projection.weight.copy_(model.posterior.moments.direct.weight[..., None, None])
    plain.posterior.projection.bias.copy_(model.posterior.moments.direct.bias)
    mine, theirs = model.prior.moments, plain.prior.moments
    theirs.network, theirs.output, theirs.read = mine.network, mine.output, mine.read
    theirs.read.bias += mine.tell.bias
    mine.tell.bias.zero_()
    x, z = torch.rand(3, *SHAPE), torch.randn(2, 3, 8)
    ours, others = (
        (q, prior, each.decode(z).log_prob(x), divergence(q, prior, z))
        for each in (model, plain)
        for q, prior in [(each.posterior_of(x), each._prior(None, x))]
    )
    for a, b in zip(ours[:2], others[:2], strict=True):
        assert_close(a.log_prob(z), b.log_prob(z))
    for a, b in zip(ours[2:], others[2:], strict=True):
        assert_close(a, b)


def test_it_is_measured_and_sampled_under_a_condition():
    model = build(condition=OneHot)
    batch = Batch(torch.rand(5, *SHAPE), torch.arange(5) % 3)
    trace = model(batch, 3)
    assert log_weights(trace).shape == (3, 5)
    assert model.sample(5, batch).shape == (5, *SHAPE)
    with pytest.raises(InapplicableError, match="no prior of codes alone"):
        model.prior(trace.context, model)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigurationError, match="variant=vrnn"):
        build(structure=Autoencoder)
    with pytest.raises(ConfigurationError, match="bidirectional=false"):
        build(bidirectional=True)
    with pytest.raises(ConfigurationError, match="observed=true"):
        build(observed=False)
    with pytest.raises(ConfigurationError, match="condition=none or label"):
        build(condition=partial(VisibleQuadrants, visible=["top_left"], widths=[4]))
