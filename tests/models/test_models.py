from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.metrics.estimands import evidence
from aelab.models import autoencoder
from aelab.models.conditions import Attributes, OneHot, VisibleQuadrants
from aelab.models.likelihoods import Bernoulli, Gaussian
from aelab.models.networks.conv import ConvDecoder, ConvEncoder
from aelab.models.networks.corruption import Masking
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import Deterministic, DiagonalGaussian
from aelab.models.priors import Conditional, StandardNormal

SHAPE = (1, 6, 5)
MLP = {"encoder": partial(MLPEncoder, widths=[8]), "decoder": partial(MLPDecoder, widths=[8])}
CONV = {"encoder": partial(ConvEncoder, channels=[4]), "decoder": partial(ConvDecoder, channels=[4])}
CONDITIONAL = {"conditioner": OneHot, "prior": Conditional}
every_network = pytest.mark.parametrize("network", [MLP, CONV], ids=["mlp", "conv"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def build(**slots):
    parts = {
        "posterior": DiagonalGaussian,
        "prior": StandardNormal,
        "likelihood": Bernoulli(),
        **MLP,
        **slots,
    }
    return autoencoder(shape=SHAPE, latent=2, classes=3, **parts)


def batch(count=4):
    return Batch(torch.rand(count, *SHAPE), torch.arange(count) % 3)


def density(trace):
    return trace.likelihood.log_prob(trace.x)


@every_network
@pytest.mark.parametrize("samples", [1, 5])
@pytest.mark.parametrize("slots", [{}, CONDITIONAL, {"posterior": Deterministic, "prior": None}])
def test_a_pass_leaves_a_trace_of_the_documented_shapes(network, samples, slots):
    given = batch()
    trace = build(**network, **slots)(given, samples)
    assert trace.x is given.x
    assert trace.posterior.batch_shape == (4,)
    assert trace.z.shape == (samples, 4, 2)
    assert (trace.likelihood.batch_shape, trace.likelihood.event_shape) == ((samples, 4), SHAPE)
    assert density(trace).shape == (samples, 4)
    assert (trace.prior is None) == ("prior" in slots and slots["prior"] is None)
    assert (trace.context is None) == ("conditioner" not in slots)


@every_network
@pytest.mark.parametrize("slots", [{}, CONDITIONAL], ids=["unconditional", "conditional"])
def test_each_code_is_decoded_with_its_own_condition(network, slots):
    model, given = build(**network, **slots), batch()
    trace = model(given, samples=3)
    for s in range(3):
        for b in range(4):
            context = None if trace.context is None else trace.context[b : b + 1]
            alone = model.decode(trace.z[s : s + 1, b : b + 1], context)
            assert_close(alone.mean[0, 0], trace.likelihood.mean[s, b])


@pytest.mark.parametrize("slots", [{}, CONDITIONAL, {"prior": StandardNormal, "conditioner": OneHot}])
def test_samples_are_images_as_many_as_asked(slots):
    model = build(**slots)
    given = Batch(torch.rand(5, *SHAPE), torch.tensor([0, 1, 2, 2, 0])) if "conditioner" in slots else None
    images = model.sample(5, given)
    assert images.shape == (5, *SHAPE)
    assert len(images.flatten(1).unique(dim=0)) == 5
    assert ((images > 0) & (images < 1)).all()


def test_samples_follow_the_prior_and_the_decoder():
    model = build(likelihood=Gaussian(bounds=None), decoder=partial(MLPDecoder, widths=[]))
    weight, bias = model.decoder.output.weight.detach(), model.decoder.output.bias.detach()
    images = model.sample(20_000).detach().flatten(1)
    covariance = weight @ weight.T
    error = (images.var(0) - covariance.diagonal()).abs()
    assert (error <= 5 * covariance.diagonal() * (2 / 20_000) ** 0.5).all()
    assert ((images.mean(0) - bias).abs() <= 5 * (covariance.diagonal() / 20_000).sqrt()).all()


def test_the_unconditional_model_ignores_labels():
    model, given = build(), batch()
    traces = []
    for y in (given.y, given.y.flip(0), None):
        torch.manual_seed(1)
        traces.append(density(model(given._replace(y=y))))
    assert torch.equal(traces[0], traces[1])
    assert torch.equal(traces[0], traces[2])


@every_network
def test_the_conditional_model_reads_labels_in_encoder_and_decoder(network):
    model, given = build(**network, **CONDITIONAL), batch()
    context = model.context(given)
    other = model.context(given._replace(y=(given.y + 1) % 3))
    assert not torch.allclose(model.encode(given.x, context).mean, model.encode(given.x, other).mean)
    z = torch.randn(1, 4, 2)
    assert not torch.allclose(model.decode(z, context).mean, model.decode(z, other).mean)


def test_a_conditional_model_needs_labels():
    model = build(**CONDITIONAL)
    with pytest.raises(ConfigurationError, match="label"):
        model(Batch(torch.rand(4, *SHAPE)))
    with pytest.raises(ConfigurationError, match="condition"):
        model.sample(4)


def test_a_model_without_a_prior_cannot_be_sampled():
    with pytest.raises(ConfigurationError, match="prior"):
        build(prior=None).sample(4)


@pytest.mark.parametrize("latent", [0, -1, 2.0])
def test_a_latent_size_that_is_no_positive_integer_is_refused(latent):
    with pytest.raises(ConfigurationError, match="latent"):
        autoencoder(SHAPE, latent, None, **MLP, posterior=Deterministic, likelihood=Bernoulli())


def test_the_target_stays_clean_under_corruption():
    given = batch()
    before = given.x.clone()
    trace = build(corruption=Masking(0.5), posterior=Deterministic, prior=None)(given)
    assert torch.equal(trace.x, before)
    assert (trace.corrupted[trace.corrupted != trace.x] == 0).all()
    assert not torch.equal(trace.corrupted, trace.x)


def test_the_encoder_sees_what_is_corrupted_and_nothing_else():
    model = build(corruption=Masking(0.5), posterior=Deterministic, prior=None)
    trace = model(batch())
    assert_close(trace.posterior.mean, model.encode(trace.corrupted).mean)
    blind = build(corruption=Masking(1.0), posterior=Deterministic, prior=None)
    assert_close(blind(batch()).z, blind(batch()).z)


def test_without_a_corruption_the_encoder_sees_the_target():
    trace = build()(batch())
    assert trace.corrupted is trace.x


@every_network
@pytest.mark.parametrize("slots", [{}, CONDITIONAL], ids=["unconditional", "conditional"])
def test_a_state_dict_restores_the_outputs_to_the_bit(network, slots):
    first = build(**network, **slots, likelihood=Gaussian(0.7, learned=True))
    second = build(**network, **slots, likelihood=Gaussian(learned=True))
    second.load_state_dict(first.state_dict())
    given, outputs = batch(), []
    for model in (first, second):
        torch.manual_seed(1)
        outputs.append(density(model(given, samples=2)))
    assert torch.equal(*outputs)


def pca(loadings, noise, optimal=True):
    """x = W z + mean + noise * e with orthogonal columns W, and its exact posterior."""
    size, latent = loadings.shape
    mean = torch.linspace(-1, 1, size)
    model = autoencoder(
        shape=(size,),
        latent=latent,
        classes=None,
        encoder=partial(MLPEncoder, widths=[]),
        posterior=DiagonalGaussian,
        decoder=partial(MLPDecoder, widths=[]),
        likelihood=Gaussian(noise, bounds=None),
        prior=StandardNormal,
    )
    precision = loadings.square().sum(0) + noise**2
    projection = loadings.T / precision[:, None]
    with torch.no_grad():
        model.decoder.output.weight.copy_(loadings)
        model.decoder.output.bias.copy_(mean)
        if optimal:
            linear = model.posterior.projection
            linear.weight.copy_(torch.cat([projection, torch.zeros_like(projection)]))
            linear.bias.copy_(torch.cat([-projection @ mean, (noise**2 / precision).log()]))
    marginal = MultivariateNormal(mean, loadings @ loadings.T + noise**2 * torch.eye(size))
    return model, marginal, projection, noise**2 / precision


LOADINGS = torch.linalg.qr(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)))[0] * torch.tensor(
    [2.0, 1.0, 0.3]
)


@torch.no_grad()
def test_every_code_of_the_exact_posterior_gives_the_evidence_of_probabilistic_pca():
    model, marginal, *_ = pca(LOADINGS, noise=0.4)
    x = marginal.sample((50,))
    trace = model(Batch(x), samples=7)
    log_joint = density(trace) + trace.prior.log_prob(trace.z)
    ratio = log_joint - trace.posterior.log_prob(trace.z)
    assert_close(ratio, marginal.log_prob(x).expand(7, 50), atol=1e-4, rtol=0)


def sigma_points(q):
    """Codes over which the mean of any quadratic function is its expectation under q."""
    spread = (q.mean.shape[-1] ** 0.5) * q.stddev[:, :, None] * torch.eye(q.mean.shape[-1])
    return torch.cat([q.mean + spread.movedim(-1, 0), q.mean - spread.movedim(-1, 0)])


@torch.no_grad()
@pytest.mark.parametrize("optimal", [True, False])
def test_the_bound_is_the_evidence_of_probabilistic_pca_less_the_posteriors_divergence(optimal):
    model, marginal, projection, variance = pca(LOADINGS, noise=0.4, optimal=optimal)
    x = marginal.sample((50,))
    trace = model(Batch(x))
    z = sigma_points(trace.posterior)
    bound = evidence(replace(trace, z=z, decode=lambda: model.decode(z)))["elbo"].mean()
    q = MultivariateNormal(trace.posterior.mean, trace.posterior.variance.diag_embed())
    gap = kl_divergence(q, MultivariateNormal((x - marginal.mean) @ projection.T, variance.diag())).mean()
    assert (gap < 1e-6) == optimal
    assert_close(bound.float(), marginal.log_prob(x).mean() - gap, atol=1e-4, rtol=1e-5)


# Models of what a condition leaves open.

FACTORS = 2
CONDITIONS = {
    "label": OneHot,
    "attributes": Attributes,
    "image": partial(VisibleQuadrants, visible=("bottom_left", "top_right"), widths=[7]),
}


def told(condition, **slots):
    torch.manual_seed(0)
    parts = {**MLP, "posterior": DiagonalGaussian, "prior": Conditional, "likelihood": Bernoulli(), **slots}
    model = autoencoder(SHAPE, 2, 3, conditioner=CONDITIONS[condition], attributes=FACTORS, **parts)
    if slots.get("prior", Conditional) is Conditional:
        nn.init.normal_(model.prior.projection.weight)  # it begins blind to the condition
    return model


def conditions(count=4):
    return Batch(torch.rand(count, *SHAPE), torch.arange(count) % 3, torch.rand(count, FACTORS))


def otherwise(condition, given):
    """The same with another condition."""
    if condition == "label":
        return given._replace(y=(given.y + 1) % 3)
    if condition == "attributes":
        return given._replace(attributes=1 - given.attributes)
    return given._replace(x=1 - given.x)


def drawn(model, given):
    torch.manual_seed(5)
    return model.sample(len(given.x), given)


# Rows 0-2 are the top and columns 0-1 the left of 6x5 pixels.
HIDDEN = torch.ones(SHAPE, dtype=torch.bool)
HIDDEN[:, 3:, :2] = False
HIDDEN[:, :3, 2:] = False


@torch.no_grad()
@pytest.mark.parametrize("prior", [Conditional, StandardNormal])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_another_condition_gives_another_sample(condition, prior):
    model, given = told(condition, prior=prior), conditions()
    first, other = drawn(model, given), drawn(model, otherwise(condition, given))
    assert first.shape == (4, *SHAPE)
    assert torch.equal(drawn(model, given), first)
    pixels = HIDDEN if condition == "image" else torch.ones_like(HIDDEN)
    assert ((first - other).abs()[:, pixels].amax(-1) > 1e-4).all()


@torch.no_grad()
@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_description_has_the_shapes_of_its_codes_and_observations(condition):
    model, given = told(condition), conditions()
    z = torch.randn(3, 4, 2)
    described = model.likelihood_of(given.x, z, model.context(given))
    assert (described.batch_shape, described.event_shape) == ((3, 4), SHAPE)
    assert described.mean.shape == (3, 4, *SHAPE)
    assert described.log_prob(given.x).shape == (3, 4)
    trace = model(given, 3)
    again = model.likelihood_of(given.x, trace.z, trace.context)
    assert torch.equal(again.log_prob(given.x), density(trace))


@torch.no_grad()
def test_visible_quadrants_are_shown_as_they_are_and_only_the_hidden_have_a_density():
    model, given = told("image"), conditions()
    trace = model(given, 3)
    known = given.x.expand(3, *given.x.shape)[..., ~HIDDEN]
    assert torch.equal(trace.likelihood.mean[..., ~HIDDEN], known)
    predicted = model.decode(trace.z, trace.context).mean[..., HIDDEN]
    assert torch.equal(trace.likelihood.mean[..., HIDDEN], predicted)
    hidden = given.x[..., HIDDEN]
    cost = hidden * predicted.log() + (1 - hidden) * torch.log1p(-predicted)
    assert_close(density(trace), cost.sum(-1), rtol=1e-4, atol=1e-5)
    assert torch.equal(drawn(model, given)[:, ~HIDDEN], given.x[:, ~HIDDEN])


@torch.no_grad()
def test_the_condition_and_the_prior_know_nothing_of_hidden_pixels():
    model, given = told("image"), conditions()
    changed = given._replace(x=torch.where(HIDDEN, 1 - given.x, given.x))
    context = model.context(given)
    assert torch.equal(model.context(changed), context)
    assert_close(model(changed).prior.mean, model(given).prior.mean)
    assert_close(drawn(model, changed), drawn(model, given))
    assert not torch.allclose(model(changed).posterior.mean, model(given).posterior.mean)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_as_many_conditions_as_samples_are_needed(condition):
    model, given = told(condition), conditions()
    for wrong in (None, conditions(3)):
        with pytest.raises(ConfigurationError, match="4 samples of a conditional model need 4 conditions"):
            model.sample(4, wrong)
    assert drawn(model, given).shape == (4, *SHAPE)
