"""Structured inference on linear-Gaussian models, whose posteriors and evidence are known."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_gaussian import LATENT, linear_gaussian
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.metrics.importance import log_evidence
from aelab.models import Autoencoder, autoencoder, posteriors, priors
from aelab.models.distributions import Gaussian
from aelab.models.evidence import log_weights
from aelab.models.geometry import Flat, gradient
from aelab.models.hamiltonian import Hamiltonian
from aelab.models.ladder import Ladder, _merged
from aelab.models.likelihoods import Gaussian as GaussianLikelihood
from aelab.models.likelihoods import OptimalGaussian, Ordered
from aelab.models.networks.causal import Recurrent
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.objectives.bounds import KL

few = settings(max_examples=20, deadline=None)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def doubles(*shape):
    return torch.randn(*shape, dtype=torch.float64)


# Leapfrog.


def double_well(z):
    """An energy that is neither quadratic nor separable."""
    return (z.square() - 1).square().sum(-1) + 0.5 * z[..., 0] * z[..., 1] + z.cos().sum(-1)


def quadratic(z):
    stiffness = torch.tensor([[2.0, 0.6], [0.6, 1.0]]).double()
    return 0.5 * torch.einsum("...i,ij,...j->...", z, stiffness, z)


SIZES = torch.tensor([0.1, 0.17]).double()


def leapfrog(z, momentum, size, energy):
    return Flat().leapfrog(z, momentum, gradient(energy, z), size, energy)[:2]


def test_leapfrog_is_reversible():
    z, momentum = doubles(3, 4, 2), doubles(3, 4, 2)
    there, turned = z, momentum
    for _ in range(5):
        there, turned = leapfrog(there, turned, SIZES, double_well)
    assert (there - z).abs().max() > 0.1
    back, turned = there, -turned
    for _ in range(5):
        back, turned = leapfrog(back, turned, SIZES, double_well)
    assert_close(back, z, rtol=0, atol=1e-11)
    assert_close(turned, -momentum, rtol=0, atol=1e-11)


def test_leapfrog_preserves_volume():
    def step(state):
        return torch.cat(leapfrog(*state[None, None].chunk(2, -1), SIZES, double_well), -1)[0, 0]

    for _ in range(5):
        jacobian = torch.autograd.functional.jacobian(step, doubles(4))
        assert_close(jacobian.det().item(), 1.0)
        assert (jacobian - torch.eye(4)).abs().max() > 0.05


def test_leapfrog_is_stormer_and_verlets():
    # Positions alone obey z_+ - 2 z + z_- = -size^2 dU/dz.
    points, momentum = [doubles(1, 1, 2)], doubles(1, 1, 2)
    for _ in range(2):
        z, momentum = leapfrog(points[-1], momentum, SIZES, quadratic)
        points.append(z)
    before, now, after = points
    force = -torch.autograd.functional.jacobian(lambda z: quadratic(z).sum(), now)
    assert_close(after - 2 * now + before, SIZES.square() * force)


def test_leapfrog_conserves_energy_to_the_second_order():
    z, momentum = doubles(1, 50, 2), doubles(1, 50, 2)

    def worst(count):
        at, with_momentum, errors = z, momentum, []
        start = quadratic(z) + 0.5 * momentum.square().sum(-1)
        for _ in range(count):
            at, with_momentum = leapfrog(at, with_momentum, torch.tensor(3.0 / count).double(), quadratic)
            errors.append((quadratic(at) + 0.5 * with_momentum.square().sum(-1) - start).abs().max())
        return torch.stack(errors).max().item()

    errors = [worst(count) for count in (30, 60, 120)]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=0.1)


# Hamiltonian posteriors.


def hamiltonian(exact=False, **options):
    return linear_gaussian(exact, Hamiltonian, **options)


def flow(state, size, steps, beta, energy):
    """The map of positions and momenta of Caterini et al. 2018, algorithm 1, in their own notation."""
    z, rho = state.chunk(2, -1)
    z, rho = z[None, None], rho[None, None]
    root = [1 / ((1 - 1 / beta**0.5) * k**2 / steps**2 + 1 / beta**0.5) for k in range(steps + 1)]
    assert root[0] == pytest.approx(beta**0.5)
    assert root[-1] == pytest.approx(1)
    for k in range(1, steps + 1):
        z, rho = leapfrog(z, rho, size, energy)
        rho = root[k - 1] / root[k] * rho
    return torch.cat([z, rho], -1)[0, 0]


@few
@given(st.integers(1, 4), st.floats(0.02, 0.4), st.floats(0.1, 0.95), st.integers(0, 100))
def test_what_transport_takes_off_is_the_determinant_and_the_momentums_density(steps, size, beta, seed):
    torch.manual_seed(seed)
    model, _ = hamiltonian(steps=steps, size=size, temperature=beta)
    state = doubles(2 * LATENT)
    z, taken_off = model.transport(state[None, None], double_well)
    # As the model keeps them, in single precision, of which such dynamics make a hundred times as much.
    size, beta = 0.5 * model.size_logit.detach().sigmoid(), model.temperature_logit.sigmoid().item()
    mapping = partial(flow, size=size, steps=steps, beta=beta, energy=double_well)
    final = mapping(state)
    _, log_det = torch.linalg.slogdet(torch.autograd.functional.jacobian(mapping, state))
    density = Normal(0.0, 1.0).log_prob(final[LATENT:]).sum()
    assert_close(z[0, 0], final[:LATENT], rtol=1e-9, atol=1e-9)
    assert_close(taken_off[0, 0], log_det + density, rtol=1e-9, atol=1e-9)


def test_options_are_where_training_begins():
    model, _ = hamiltonian(steps=2, size=0.07, temperature=0.6)
    assert_close(0.5 * model.size_logit.sigmoid(), torch.full((LATENT,), 0.07).double(), rtol=1e-5, atol=0)
    assert model.temperature_logit.sigmoid().item() == pytest.approx(0.6)
    base = model.infer(doubles(3, 5), None, prior=model.prior(None, None)).base
    assert_close(base.variance[:, LATENT:], torch.full((3, LATENT), 1 / 0.6).double(), rtol=1e-5, atol=0)
    assert not base.mean[:, LATENT:].any()


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"size": 0.0}, {"size": 0.5}, {"temperature": 0.0}, {"temperature": 1.0}]
)
def test_dynamics_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigurationError, match="structure"):
        hamiltonian(**options)


def test_importance_weights_of_a_hamiltonian_posterior_average_to_the_evidence():
    model, marginal = hamiltonian(steps=3, size=0.1, temperature=0.8)
    x = marginal.sample((4,))
    with torch.no_grad():
        w = (log_weights(model(Batch(x), 20_000)) - marginal.log_prob(x)).exp()
    assert ((w.mean(0) - 1).abs() < 3 * w.std(0) / 20_000**0.5).all()
    assert (w.std(0) > 0.01).all()


def test_the_dynamics_improve_an_imperfect_posterior_and_stay_below_the_evidence():
    model, marginal = hamiltonian(steps=3, size=0.1, temperature=0.6)
    plain, _ = linear_gaussian()
    with torch.no_grad():
        for m in (model, plain):
            m.posterior.shift += 0.5  # what the dynamics are to mend
    x = marginal.sample((3000,))
    optimizer = torch.optim.Adam([model.size_logit, model.temperature_logit], lr=0.1)
    for _ in range(60):
        loss = -log_weights(model(Batch(x[:200]))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        bound, before = (log_weights(m(Batch(x))).squeeze(0) for m in (model, plain))
    for difference in (bound - before, marginal.log_prob(x) - bound):
        assert difference.mean() - 0.5 > 3 * difference.std() / len(x) ** 0.5


def test_the_gradient_of_the_bound_is_that_of_finite_differences():
    # Through the dynamics, which follow a gradient themselves, into every part.
    model, marginal = hamiltonian(steps=2, size=0.2, temperature=0.5)
    x = marginal.sample((3,))

    def bound():
        torch.manual_seed(7)
        return log_weights(model(Batch(x), 2)).mean()

    bound().backward()
    for parameter in model.parameters():
        flat, step = parameter.data.view(-1), 1e-6
        for i in range(len(flat)):
            flat[i] += step
            above = bound().item()
            flat[i] -= 2 * step
            below = bound().item()
            flat[i] += step
            slope = parameter.grad.view(-1)[i].item()
            assert slope == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-6)
            assert slope != 0


def test_without_gradients_the_dynamics_are_the_same():
    model, marginal = hamiltonian()
    x = marginal.sample((3,))
    with torch.no_grad():
        torch.manual_seed(0)
        frozen = model(Batch(x), 4)
    torch.manual_seed(0)
    trace = model(Batch(x), 4)
    assert not frozen.z.requires_grad
    assert_close(frozen.z, trace.z.detach(), rtol=1e-12, atol=0)
    assert_close(log_weights(frozen), log_weights(trace).detach(), rtol=1e-12, atol=0)


def test_dynamics_need_a_gaussian_and_a_prior():
    model, _ = hamiltonian()
    with pytest.raises(ConfigurationError, match="posterior=diagonal_gaussian"):
        model.infer(doubles(3, 5), None)


# Two layers: p(z_2) = N(0, I), p(z_1|z_2) = N(A z_2 + a, D), p(x|z_1) = N(W z_1 + b, noise^2), where the
# columns of W are orthogonal and of equal length and A mixes no two dimensions, so that all posteriors are
# diagonal.

LOWER, UPPER, PIXELS, NOISE, GAIN = 3, 2, 6, 0.5, 1.5
A = torch.tensor([[0.0, 1.2], [0.7, 0.0], [0.0, 0.0]])
SHIFT = torch.tensor([0.3, -0.2, 0.1])
SPREAD = torch.tensor([0.4, 0.7, 1.1])  # the diagonal of D
W = GAIN * torch.linalg.qr(torch.randn(PIXELS, LOWER, generator=torch.Generator().manual_seed(3)))[0]
BIAS = torch.linspace(-1, 1, PIXELS)
PAIRS = {
    "ladder": (posteriors.Ladder, Ladder),
    "bottom_up": (posteriors.BottomUp, Autoencoder),
}


def head(linear, slope, shift, variance):
    """Make a head of means and log-variances say N(slope h + shift, variance)."""
    with torch.no_grad():
        linear.weight.copy_(torch.cat([slope, torch.zeros_like(slope)]))
        linear.bias.copy_(torch.cat([shift, variance.log()]))


def two_layers(name, off=0.0):
    posterior, structure = PAIRS[name]
    model = autoencoder(
        shape=(PIXELS,),
        latent=LOWER,
        classes=None,
        encoder=partial(MLPEncoder, widths=[]),
        posterior=partial(posterior, upper=[UPPER], widths=[]),
        decoder=partial(MLPDecoder, widths=[]),
        likelihood=GaussianLikelihood(NOISE, bounds=None),
        prior=partial(priors.TopDown, upper=[UPPER], widths=[]),
        structure=structure,
    )
    with torch.no_grad():
        model.decoder.output.weight.copy_(W)
        model.decoder.output.bias.copy_(BIAS)
    head(model.prior.between[0].head.projection, A, SHIFT, SPREAD)

    # What the image says of z_1 alone, and then of z_2: y = z_1 + e, e ~ N(0, seen), y = A z_2 + a + ...
    seen = torch.full((LOWER,), NOISE**2 / GAIN**2)
    up = W.T / GAIN**2
    wide = seen + SPREAD
    top = 1 / (1 + (A.square() / wide[:, None]).sum(0))
    reads = top[:, None] * A.T / wide
    error = off * torch.tensor([0.3, -0.2])
    if name == "ladder":
        lower, upper = model.posterior.heads
        head(lower.projection, up, -up @ BIAS, seen * math.exp(0.5 * off))
        head(upper.projection, reads @ up, -reads @ (up @ BIAS + SHIFT) + error, top * math.exp(off))
    else:
        marginal = A.square().sum(1) + SPREAD  # of z_1
        lower = 1 / (1 / seen + 1 / marginal)
        slope = (lower / seen)[:, None] * up
        head(
            model.posterior.base.projection, slope, lower / marginal * SHIFT - slope @ BIAS,
            lower * math.exp(0.5 * off),
        )  # fmt: skip
        above = 1 / (1 + (A.square() / SPREAD[:, None]).sum(0))
        back = above[:, None] * A.T / SPREAD
        between = model.posterior.between[0].head.projection
        head(between, back, -back @ SHIFT + error, above * math.exp(off))
    inner = A @ A.T + SPREAD.diag()
    return model, MultivariateNormal(W @ SHIFT + BIAS, W @ inner @ W.T + NOISE**2 * torch.eye(PIXELS))


@torch.no_grad()
@pytest.mark.parametrize("name", PAIRS)
def test_every_code_of_the_exact_posterior_of_two_layers_gives_the_evidence(name):
    model, marginal = two_layers(name)
    x = marginal.sample((20,))
    trace = model(Batch(x), 5)
    assert trace.z.shape == (5, 20, LOWER + UPPER)
    assert_close(log_weights(trace), marginal.log_prob(x).expand(5, 20), atol=2e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", PAIRS)
def test_importance_sampling_of_two_layers_finds_the_evidence(name):
    model, marginal = two_layers(name, off=1.0)
    x = marginal.sample((6,))
    trace = model(Batch(x), 20_000)
    w = (log_weights(trace) - marginal.log_prob(x)).exp()
    assert ((w.mean(0) - 1).abs() < 3 * w.std(0) / 20_000**0.5).all()
    assert (w.std(0) > 0.1).all()
    found, _ = log_evidence([trace])
    assert_close(found, marginal.log_prob(x).double(), atol=0.05, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", PAIRS)
def test_the_decoder_reads_the_first_layer_alone(name):
    model, _ = two_layers(name)
    z = torch.randn(2, 3, LOWER + UPPER)
    above, below = z.clone(), z.clone()
    above[..., LOWER:] += 1
    below[..., :LOWER] += 1
    assert torch.equal(model.decode(above).mean, model.decode(z).mean)
    assert not torch.equal(model.decode(below).mean, model.decode(z).mean)
    assert_close(model.decode(z).mean, z[..., :LOWER] @ W.T + BIAS)


@torch.no_grad()
@pytest.mark.parametrize("name", PAIRS)
def test_samples_of_two_layers_follow_the_marginal(name):
    model, marginal = two_layers(name)
    covariance = marginal.covariance_matrix - NOISE**2 * torch.eye(PIXELS)  # of the means
    images = model.sample(20_000)
    deviation = covariance.diagonal().sqrt()
    assert ((images.mean(0) - marginal.mean).abs() < 5 * deviation / 20_000**0.5).all()
    assert (
        (torch.cov(images.T) - covariance).abs() < 5 * 2**0.5 * deviation.outer(deviation) / 20_000**0.5
    ).all()


@torch.no_grad()
def test_the_rate_of_a_ladder_is_that_of_its_codes():
    model, marginal = two_layers("ladder", off=1.0)
    trace = model(Batch(marginal.sample((2000,))), 1)
    monte_carlo = trace.posterior.log_prob(trace.z) - trace.prior.log_prob(trace.z)
    error = 4 * monte_carlo.std() / 2000**0.5
    assert abs(KL()(trace, model) - monte_carlo.mean()) < error


@few
@given(st.integers(0, 1000))
def test_two_opinions_of_a_layer_are_merged_into_their_normalised_product(seed):
    torch.manual_seed(seed)
    given_, follow = Gaussian(*doubles(2, 4, 2)), Gaussian(*doubles(2, 3, 4, 2))
    merged = _merged(given_, lambda above: follow, doubles(3, 4, 1))
    z = doubles(50, 3, 4, 2)
    product = given_.each(z) + follow.each(z) - merged.each(z)
    assert_close(product, product[:1].expand_as(product))  # the same for every z: proportional
    one, two = given_.variance, follow.variance
    assert_close(merged.variance, one * two / (one + two))
    assert_close(merged.mean, (given_.mean * two + follow.mean * one) / (one + two))


def test_a_ladder_needs_its_own_posterior_and_prior():
    model, _ = two_layers("ladder")
    with pytest.raises(ConfigurationError, match="posterior=ladder with prior=top_down"):
        model.infer(torch.randn(2, PIXELS), None, prior=None)


def test_the_structure_can_be_chosen_alone_as_it_asks_for_its_gradients_itself(train):
    metrics = train("structure=hamiltonian", "model.structure.steps=1").read()["metrics"]
    assert metrics["test/elbo"] == pytest.approx(-metrics["test/distortion"] - metrics["test/kl"], rel=1e-5)


def test_dynamics_refuse_one_scale_for_a_batch_of_places_too():
    likelihood = Ordered((1, 2), OptimalGaussian(), Recurrent, width=4, told=2)
    with pytest.raises(ConfigurationError, match="likelihood=gaussian"):
        autoencoder(
            (1, 2), 2, None, encoder=partial(MLPEncoder, widths=[4]), posterior=posteriors.DiagonalGaussian,
            decoder=partial(MLPDecoder, widths=[4]), likelihood=likelihood, prior=priors.StandardNormal,
            structure=Hamiltonian,
        )  # fmt: skip
