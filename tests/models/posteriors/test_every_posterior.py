"""What holds for every posterior: shapes, precision, samples of a seed, and what its parameters mean."""

from functools import partial

import pytest
import torch
from oracles import assert_mean, fix
from torch import distributions as td
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.core.schedules import Exponential
from aelab.models import posteriors
from aelab.models.distributions import (
    OneHot,
    PointMass,
    SphereUniform,
    StandardGaussian,
    divergence,
    rsample_and_log_prob,
)

MAKERS = {
    "point": partial(posteriors.Deterministic, 5, Sizes(latent=6)),
    "diagonal": partial(posteriors.DiagonalGaussian, 5, Sizes(latent=6)),
    "low rank": partial(posteriors.LowRankGaussian, 5, Sizes(latent=6), 2),
    "full": partial(posteriors.FullGaussian, 5, Sizes(latent=6)),
    "planar": partial(posteriors.Flow, 5, Sizes(latent=6), posteriors.Planar),
    "radial": partial(posteriors.Flow, 5, Sizes(latent=6), posteriors.Radial),
    "autoregressive": partial(posteriors.Flow, 5, Sizes(latent=6), posteriors.InverseAutoregressive),
    "gumbel": partial(posteriors.GumbelCategorical, 5, Sizes(latent=6), 3),
    "joint": partial(posteriors.JointGaussianCategorical, 5, Sizes(latent=6), [2, 2]),
    "bottom up": partial(posteriors.BottomUp, 5, Sizes(latent=3), [2, 1]),
    "ladder": partial(posteriors.Ladder, 5, Sizes(latent=3), [2, 1]),
    "sphere": partial(posteriors.VonMisesFisher, 5, Sizes(latent=6)),
    "ball": partial(posteriors.WrappedNormal, 5, Sizes(latent=6)),
}
RELAXED = (MAKERS["gumbel"], MAKERS["joint"])
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
LAYERS = pytest.mark.parametrize("make", [posteriors.BottomUp, posteriors.Ladder])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@every
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_shapes_and_gradients(make, samples, training):
    posterior = make().train(training)
    h = torch.randn(7, 5, requires_grad=True)
    q = posterior(h)
    z, log_q = rsample_and_log_prob(q, (samples,))
    assert (q.batch_shape, q.event_shape, posterior.latent) == ((7,), (6,), 6)
    assert z.shape == (samples, 7, 6)
    assert q.mean.shape == (7, 6)
    if not isinstance(q, PointMass) and not (training and make in RELAXED):
        nats = q.log_prob(z) if log_q is None else log_q
        assert nats.shape == (samples, 7)
        assert nats.isfinite().all()
    assert q.rsample().shape == (7, 6)
    exact = isinstance(q, OneHot) and not training
    if not exact:
        z.square().sum().backward()
        assert h.grad.isfinite().all()
        assert (h.grad != 0).all()


@every
def test_observations_are_encoded_independently(make):
    posterior, h = make().eval(), torch.randn(7, 5)
    assert_close(posterior(h).mean[2:4], posterior(h[2:4]).mean, rtol=1e-4, atol=1e-5)


def drawn(q):
    """Codes and, where they have one, their density."""
    z, log_q = rsample_and_log_prob(q, (3,))
    if log_q is None and not isinstance(q, PointMass):
        log_q = q.log_prob(z)
    return (z,) if log_q is None else (z, log_q)


@every
def test_everything_stays_in_float32_under_mixed_precision(make):
    posterior = make().eval()
    encoder = nn.Linear(4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        h = encoder(torch.randn(7, 4))
        q = posterior(h)
        values = [*drawn(q), q.mean]
    values += [*drawn(q), q.mean]  # where autocast has ended, as in evaluation
    assert h.dtype == torch.bfloat16
    assert {value.dtype for value in values} == {torch.float32}
    assert all(value.isfinite().all() for value in values)


@every
def test_samples_follow_from_the_seed(make):
    q = make()(torch.randn(7, 5))
    torch.manual_seed(1)
    a = q.rsample((2,))
    torch.manual_seed(1)
    assert torch.equal(a, q.rsample((2,)))
    if not isinstance(q, PointMass):
        assert not torch.equal(a, q.rsample((2,)))


@every
def test_the_mean_is_that_of_samples_where_it_is_an_expectation(make):
    q = make().eval()(torch.randn(2, 5))
    if not hasattr(q, "transport") and not hasattr(q, "following") and make is not MAKERS["ball"]:
        assert_mean(q.sample((10_000,)), q.mean.detach())


def test_the_low_rank_covariance_is_columns_and_a_diagonal():
    posterior = posteriors.LowRankGaussian(5, Sizes(latent=3), 2)
    loc, log_variance, columns = torch.randn(3), torch.randn(3), torch.randn(2, 3)
    fix(posterior.projection, torch.cat([loc, log_variance, *columns]))
    q = posterior(torch.randn(4, 5))
    z = torch.randn(6, 4, 3)
    theirs = td.MultivariateNormal(loc, columns.T @ columns + log_variance.exp().diag())
    assert_close(q.log_prob(z), theirs.log_prob(z), rtol=1e-4, atol=1e-4)
    assert_close(q.mean, loc.expand(4, 3))


def test_the_full_covariance_reaches_every_correlation():
    posterior = posteriors.FullGaussian(5, Sizes(latent=3))
    q = posterior(torch.randn(4, 5))
    assert (q.scale_tril.diagonal(dim1=-2, dim2=-1) > 0).all()
    assert (q.scale_tril.triu(1) == 0).all()
    assert (q.covariance_matrix != 0).all()
    fix(posterior.projection, [1.0, 2.0, 3.0, -200.0, 0.0, 200.0, *torch.zeros(9)])
    diagonal = posterior(torch.randn(4, 5)).scale_tril[0].diagonal()
    assert_close(diagonal, torch.tensor([1e-4, 0.6931, 200.0]), rtol=1e-3, atol=0)


def test_a_diagonal_low_rank_or_full_gaussian_is_the_diagonal_one():
    h = torch.randn(4, 5)
    diagonal = posteriors.DiagonalGaussian(5, Sizes(latent=3))
    low, full = posteriors.LowRankGaussian(5, Sizes(latent=3), 1), posteriors.FullGaussian(5, Sizes(latent=3))
    fix(diagonal.projection, [1.0, 2.0, 3.0, -1.0, 0.0, 1.0])
    fix(low.projection, [1.0, 2.0, 3.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    scales = (0.5 * torch.tensor([-1.0, 0.0, 1.0])).exp().expm1().log()  # softplus undone
    fix(full.projection, [1.0, 2.0, 3.0, *scales, *torch.zeros(9)])
    p, z = StandardGaussian(torch.zeros(3)), torch.randn(2, 4, 3)
    for posterior in (low, full):
        assert_close(posterior(h).log_prob(z), diagonal(h).log_prob(z))
        assert_close(divergence(posterior(h), p, z), divergence(diagonal(h), p, z))


def test_categories_are_the_softmax_of_each_group():
    posterior = posteriors.GumbelCategorical(5, Sizes(latent=6), 3).eval()
    logits = torch.randn(6)
    fix(posterior.projection, logits)
    q = posterior(torch.randn(4, 5))
    assert_close(q.mean[0], torch.cat([logits[:3].softmax(-1), logits[3:].softmax(-1)]))


@pytest.mark.parametrize(("make", "categories"), zip(RELAXED, (3, 2), strict=True))
def test_the_temperature_follows_its_schedule_while_training_and_codes_are_exact_elsewhere(make, categories):
    posterior, h = make(temperature=Exponential(1)), torch.randn(40, 5)

    def height(step):
        return posterior(h, step=step).rsample()[..., -categories:].amax(-1).mean()

    heights = torch.stack([height(step) for step in (-2, 0, 4)])
    assert (heights.diff() > 0.1).all()
    assert heights[0] < 0.6
    assert heights[2] > 0.99
    posterior.eval()
    assert set(posterior(h).rsample()[..., -categories:].unique().tolist()) == {0.0, 1.0}


def test_a_joint_code_reads_each_part_off_its_own_outputs():
    posterior = posteriors.JointGaussianCategorical(5, Sizes(latent=6), [3, 2]).eval()
    a, b, c = torch.randn(2), torch.randn(3), torch.randn(2)
    fix(posterior.projection, torch.cat([a, b, c]))
    q = posterior(torch.randn(4, 5))
    assert_close(q.mean[0], torch.cat([a[:1], b.softmax(-1), c.softmax(-1)]))
    assert_close(q.parts["continuous"].variance[0], a[1:].exp())


def test_concentrations_begin_at_one_and_directions_have_length_one():
    posterior = posteriors.VonMisesFisher(5, Sizes(latent=3))
    for concentration, expected in ((-100.0, 1.0), (0.0, 1.6931), (500.0, 501.0)):
        fix(posterior.projection, [3.0, 0.0, 4.0, concentration])
        q = posterior(torch.randn(4, 5))
        assert_close(q.concentration, torch.full((4,), expected), rtol=1e-4, atol=1e-4)
        assert_close(q.direction, torch.tensor([0.6, 0.0, 0.8]).expand(4, 3))
        assert divergence(q, SphereUniform(torch.zeros(3)), torch.zeros(())).isfinite().all()


@LAYERS
def test_the_decoder_reads_the_layer_nearest_to_the_data(make):
    posterior = make(5, Sizes(latent=3), [2, 1])
    assert (posterior.latent, posterior.decoded, posterior.sizes) == (6, 3, [3, 2, 1])
    heads = [m for m in posterior.modules() if isinstance(m, posteriors.DiagonalGaussian)]
    for level, head in enumerate(heads):
        size = [3, 2, 1][level]
        fix(head.projection, [*(size * [float(level)]), *(size * [-60.0])])
    assert posterior(torch.randn(4, 5)).sample().round()[0].tolist() == [0, 0, 0, 1, 1, 2]


def test_upper_layers_bottom_up_depend_on_samples_and_those_of_a_ladder_on_features_alone():
    h = torch.randn(1, 5).expand(200, 5)
    up, ladder = posteriors.BottomUp(5, Sizes(latent=3), [2]), posteriors.Ladder(5, Sizes(latent=3), [2])
    assert up(h).given(torch.randn(200, 5))[1].mean.std(0).min() > 1e-3
    assert ladder(h).mean[:, 3:].std(0).max() < 1e-6


def test_sizes_that_do_not_fit_are_refused():
    for refused, words in (
        (lambda: posteriors.GumbelCategorical(5, Sizes(latent=7), 3), "multiple"),
        (lambda: posteriors.GumbelCategorical(5, Sizes(latent=6), 1), "categories"),
        (lambda: posteriors.JointGaussianCategorical(5, Sizes(latent=6), []), "discrete"),
        (lambda: posteriors.JointGaussianCategorical(5, Sizes(latent=6), [3, 3]), "discrete"),
        (lambda: posteriors.LowRankGaussian(5, Sizes(latent=3), 4), "rank"),
        (lambda: posteriors.LowRankGaussian(5, Sizes(latent=3), 0), "rank"),
        (lambda: posteriors.VonMisesFisher(5, Sizes(latent=1)), "latent=1"),
        (lambda: posteriors.BottomUp(5, Sizes(latent=3), []), "upper"),
        (lambda: posteriors.Ladder(5, Sizes(latent=3), [0]), "upper"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            refused()


@pytest.mark.parametrize(
    ("name", "size"),
    [("sphere", 10.0), ("sphere", 1e3), ("sphere", 1e6), ("full", 10.0), ("low rank", 10.0)],
)
def test_large_features_leave_closed_forms_finite(name, size):
    posterior = MAKERS[name]()
    h = (size * torch.randn(64, 5)).requires_grad_()
    q = posterior(h)
    z = q.rsample()
    p = SphereUniform(torch.zeros(6)) if name == "sphere" else StandardGaussian(torch.zeros(6))
    kl = divergence(q, p, z[None])
    (kl.mean() + q.log_prob(z).mean()).backward()
    assert kl.isfinite().all()
    assert h.grad.isfinite().all()
