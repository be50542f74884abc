"""Priors against what they are made of, and what holds for each: shapes, precision, samples of a seed."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
import zuko
from oracles import assert_mean, jacobian
from scipy import stats
from torch import distributions as td
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models import posteriors, priors
from aelab.models.distributions import Gaussian, divergence
from aelab.models.networks.causal import Recurrent

LATENT, SHAPE, CONTEXT = 4, (1, 2, 3), 3


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Model(nn.Module):
    """As a prior sees its model: encode (x, context) -> q(z|x,c), linear in both."""

    def __init__(self, context=0, posterior=posteriors.DiagonalGaussian):
        super().__init__()
        self.posterior = posterior(6 + context, Sizes(latent=LATENT))

    def encode(self, x, context=None, step=0):
        known = [x.flatten(1)] if context is None else [x.flatten(1), context]
        return self.posterior(torch.cat(known, -1))


def coupling(name, **options):
    flow = partial(getattr(zuko.flows, name), hidden_features=(16,), **options)
    return partial(priors.Flow, flow=flow)


FLOWS = {
    "realnvp": coupling("RealNVP", transforms=3),
    "spline": coupling("NSF", transforms=2, passes=2),
    "autoregressive": coupling("MAF", transforms=2),
}
every_flow = pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)
MAKERS = {
    "standard": priors.StandardNormal,
    "conditional": priors.Conditional,
    "mixture": partial(priors.GaussianMixture, components=5),
    "vamp": partial(priors.Vamp, components=5),
    "exemplar": partial(priors.Exemplar, components=5),
    "top down": partial(priors.TopDown, upper=[2, 1]),
    "categorical": partial(priors.UniformCategorical, categories=2),
    "joint": partial(priors.JointGaussianCategorical, discrete=[2]),
    "sphere": priors.UniformSphere,
    "ball": priors.WrappedStandardNormal,
    "full mixture": partial(priors.FullGaussianMixture, components=5),
    "kernels": partial(priors.KernelDensity, components=5),
    "two stages": partial(priors.TwoStage, upper=3, widths=[8]),
    "steps": partial(priors.GaussianSteps, network=Recurrent),
    "flow matching": partial(priors.FlowMatching, widths=[8]),
    **FLOWS,
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def built(make, context=CONTEXT):
    return make(Sizes(SHAPE, LATENT, context=context)), Model(context)


@every
@pytest.mark.parametrize("samples", [1, 3])
def test_shapes(make, samples):
    prior, model = built(make)
    p = prior(torch.randn(7, CONTEXT), model)
    z = p.sample((samples, 7) if p.batch_shape == () else (samples,))
    assert p.batch_shape in ((), (7,))
    assert (p.event_shape, z.shape) == ((LATENT,), (samples, 7, LATENT))
    nats = p.log_prob(z)
    assert nats.shape == (samples, 7)
    assert nats.isfinite().all()


@every
def test_everything_stays_in_float32_and_is_as_exact_under_mixed_precision(make):
    prior, model = built(make)
    context = torch.randn(7, CONTEXT)
    with torch.autocast("cpu", torch.bfloat16):
        p = prior(context.bfloat16(), model)
        z = p.sample((2, 7) if p.batch_shape == () else (2,))
        nats = p.log_prob(z)
    assert z.dtype == nats.dtype == torch.float32
    if make in FLOWS.values():
        assert_close(nats, prior(context.bfloat16().float(), model).log_prob(z))


@every
def test_samples_follow_from_the_seed(make):
    prior, model = built(make)
    p = prior(torch.randn(7, CONTEXT), model)
    torch.manual_seed(1)
    a = p.sample((3,))
    torch.manual_seed(1)
    assert torch.equal(a, p.sample((3,)))
    assert not torch.equal(a, p.sample((3,)))


def by_hand(weights, components, z):
    """The logarithm of the sum of densities, one component after the other; z (S, B, latent)."""
    each = [
        w.log() + td.Normal(loc, variance.sqrt()).log_prob(z).sum(-1)
        for w, loc, variance in zip(weights, components.mean, components.variance, strict=True)
    ]
    return torch.stack(each).logsumexp(0)


def test_a_gaussian_mixture_is_the_sum_of_its_parts():
    prior = priors.GaussianMixture(Sizes(latent=LATENT), 5)
    for parameter in prior.parameters():
        nn.init.normal_(parameter)
    p, z, weights = prior(None, None), torch.randn(2, 7, LATENT), prior.logits.softmax(-1)
    components = Gaussian(prior.loc, prior.log_variance)
    assert_close(p.log_prob(z), by_hand(weights, components, z))
    samples = p.sample((20_000,))
    mean = weights @ prior.loc
    second = weights @ (prior.loc.square() + prior.log_variance.exp())
    assert_mean(samples, mean.detach())
    assert_mean(samples.square(), second.detach())
    assert_close(p.mean, mean)
    assert {name for name, v in prior.named_parameters() if v.requires_grad} == {
        "logits",
        "loc",
        "log_variance",
    }
    q = Gaussian(torch.randn(7, LATENT), torch.zeros(7, LATENT))
    z = q.sample((5,))
    assert_close(divergence(q, p, z), (q.log_prob(z) - by_hand(weights, components, z)).mean(0))


@pytest.mark.parametrize("context", [0, CONTEXT])
def test_vamp_of_images_is_the_aggregate_posterior_of_these_images(context):
    prior, model = built(partial(priors.Vamp, components=5), context)
    x = torch.rand(5, *SHAPE)
    known = None
    if context:
        known = torch.randn(5, context)
        prior.contexts.data.copy_(known)
    prior.initialise(x)
    q, z = model.encode(x, known), torch.randn(2, 7, LATENT)
    assert_close(prior(None, model).log_prob(z), by_hand(torch.full((5,), 0.2), q, z))


def test_vamp_trains_its_pseudo_inputs_and_contexts_through_the_encoder():
    prior, model = built(partial(priors.Vamp, components=5))
    prior(None, model).log_prob(torch.randn(7, LATENT)).sum().backward()
    assert (prior.pseudo_inputs.grad != 0).all()
    assert (prior.contexts.grad != 0).all()
    assert prior.logits.grad is None
    assert priors.Vamp(Sizes(SHAPE, LATENT), 5).contexts is None


@pytest.mark.parametrize("context", [0, CONTEXT])
def test_exemplars_are_gaussians_of_one_variance_around_the_codes_of_images(context):
    prior, model = built(partial(priors.Exemplar, components=5), context)
    x, known = torch.rand(5, *SHAPE), torch.randn(5, context) if context else None
    if context:
        prior.contexts.data.copy_(known)
    prior.initialise(x)
    nn.init.constant_(prior.log_variance, -0.7)
    z = torch.randn(2, 7, LATENT)
    components = Gaussian(model.encode(x, known).mean, torch.full((5, LATENT), -0.7))
    p = prior(None, model)
    assert_close(p.log_prob(z), by_hand(torch.full((5,), 0.2), components, z))
    p.log_prob(z).sum().backward()
    assert prior.log_variance.grad != 0
    assert all((v.grad != 0).any() for v in model.parameters() if v.grad is not None)
    assert "exemplars" in prior.state_dict()


@pytest.mark.parametrize("make", [priors.Vamp, priors.Exemplar])
@pytest.mark.parametrize("images", [2, 5, 9])
def test_mixtures_begin_as_training_images_repeated_where_these_are_few(make, images):
    prior, x = make(Sizes(SHAPE, LATENT), 5), torch.rand(images, *SHAPE)
    prior.initialise(x)
    kept = prior.pseudo_inputs if make is priors.Vamp else prior.exemplars
    assert prior.examples == 5
    assert torch.equal(kept.detach(), torch.cat([x, x, x])[:5])


def test_vamp_refuses_codes_without_a_density():
    prior, model = built(partial(priors.Vamp, components=5), 0)
    with pytest.raises(ConfigurationError, match="standard_normal"):
        prior(None, Model(posterior=posteriors.Deterministic))
    with pytest.raises(ConfigurationError, match="components"):
        priors.Vamp(Sizes(SHAPE, LATENT), 0)
    assert prior(None, model)


def test_exemplars_take_the_mean_of_any_code():
    prior, model = priors.Exemplar(Sizes(SHAPE, LATENT), 5), Model(posterior=posteriors.Deterministic)
    assert_close(prior(None, model).component_distribution.mean, model.encode(prior.exemplars).mean)


def test_fewer_exemplars_than_components_weigh_alike():
    prior, model = priors.Exemplar(Sizes(SHAPE, LATENT), 5), Model(posterior=posteriors.Deterministic)
    x, z = torch.rand(3, *SHAPE), torch.randn(7, LATENT)
    prior.initialise(x)
    p = prior(None, model)
    each = td.Independent(td.Normal(model.encode(x).mean, p.component_distribution.stddev[:3]), 1)
    assert_close(p.log_prob(z), each.log_prob(z[:, None]).logsumexp(-1) - torch.tensor(3.0).log())


def test_vamp_mixes_layered_codes():
    bottom_up = posteriors.BottomUp(6, Sizes(latent=3), [1])
    prior, z = priors.Vamp(Sizes(SHAPE, LATENT), 5), torch.randn(2, 7, LATENT)
    model = SimpleNamespace(encode=lambda x, context: bottom_up(x.flatten(1)))
    p = prior(None, model)
    chain = bottom_up(prior.pseudo_inputs.flatten(1))
    each = torch.stack([chain.log_prob(one.expand(5, LATENT)) for one in z.flatten(0, 1)])
    assert_close(p.log_prob(z), (each.logsumexp(-1) - torch.tensor(5.0).log()).unflatten(0, (2, 7)))


def test_the_top_down_prior_is_drawn_from_the_top():
    prior = priors.TopDown(Sizes(latent=LATENT), upper=[2, 1], widths=[8])
    p, z = prior(None, None), torch.randn(5, LATENT)
    data, middle, top = z.split([1, 2, 1], -1)
    expected = td.Normal(0.0, 1.0).log_prob(top).sum(-1)
    expected = expected + prior.between[0](top).log_prob(middle) + prior.between[1](middle).log_prob(data)
    assert_close(p.log_prob(z), expected)
    assert prior.sizes == [1, 2, 1]
    assert_mean(p.sample((20_000,))[:, 3], torch.zeros(()))
    with pytest.raises(ConfigurationError, match="bottom_up"):
        priors.TopDown(Sizes(latent=3), upper=[2, 1])


def test_uniform_priors_are_uniform():
    z = torch.tensor([0.0, 1.0, 1.0, 0.0])
    sizes = Sizes(latent=4)
    assert_close(priors.UniformCategorical(sizes, 2)(None, None).log_prob(z).exp(), torch.tensor(0.25))
    code = torch.tensor([0.3, -0.2, 0.0, 1.0])
    expected = td.Normal(0.0, 1.0).log_prob(code[:2]).sum() - torch.tensor(2.0).log()
    assert_close(priors.JointGaussianCategorical(sizes, [2])(None, None).log_prob(code), expected)
    with pytest.raises(ConfigurationError, match="categories"):
        priors.UniformCategorical(sizes, 3)


def bent(make, context=0):
    """A flow prior in double precision, far from the identity."""
    prior = make(Sizes(SHAPE, LATENT, context=context)).double()
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.4)
    return prior


@every_flow
@pytest.mark.parametrize("context", [0, CONTEXT])
def test_flow_priors_are_inverted_and_have_the_determinant_of_their_jacobian(monkeypatch, make, context):
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    prior = bent(make, context)
    known = torch.randn(7, context).double() if context else None
    p = prior(known, None)
    z = torch.randn(2, 7, LATENT).double()
    transform = p.standard.transform
    e = transform(z)
    assert_close(transform.inv(e), z, atol=1e-6, rtol=1e-6)
    for i in range(7):
        at = None if known is None else known[i : i + 1].expand(2, -1)
        one = prior(at, None).standard.transform
        matrices = jacobian(one, z[:, i])
        normal = td.Normal(0.0, 1.0).log_prob(one(z[:, i])).sum(-1)
        expected = normal + torch.linalg.slogdet(matrices).logabsdet
        assert_close(p.log_prob(z)[:, i], expected, atol=1e-6, rtol=1e-6)


@every_flow
def test_samples_of_flow_priors_are_noise_to_their_transform(make):
    p = bent(make)(None, None)
    with torch.no_grad():
        noise = p.standard.transform(p.sample((2000,)))
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-3


@every_flow
def test_flow_priors_use_the_context(make):
    prior, model = built(make)
    context = torch.randn(7, CONTEXT, requires_grad=True)
    p = prior(context, model)
    p.log_prob(torch.randn(2, 7, LATENT)).sum().backward()
    assert (context.grad != 0).any(-1).all()
    z = torch.zeros(7, LATENT)
    assert (prior(context.detach() + 1, model).log_prob(z) != p.log_prob(z)).all()


@every_flow
def test_the_divergence_to_a_flow_prior_is_estimated_and_trains_both(make):
    prior, _ = built(make, 0)
    loc = torch.randn(7, LATENT, requires_grad=True)
    q = Gaussian(loc, torch.zeros(7, LATENT))
    z = q.rsample((3,))
    kl = divergence(q, prior(None, None), z)
    assert_close(kl, (q.log_prob(z) - prior(None, None).log_prob(z)).mean(0))
    kl.sum().backward()
    assert (loc.grad != 0).all()
    assert all(v.grad is not None for v in prior.parameters())
