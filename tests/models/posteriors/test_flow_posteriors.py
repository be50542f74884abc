import math

import pytest
import torch
from oracles import assert_mean, fix, jacobian
from scipy import optimize
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import StandardGaussian, divergence
from aelab.models.posteriors import Flow, InverseAutoregressive, Planar, Radial

STEPS = [Planar, Radial, InverseAutoregressive]
every_step = pytest.mark.parametrize("step", STEPS)
SEEDS = 12


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def steps(step, latent=3, scale=3.0):
    """Steps of several seeds in double precision, with features that bend them well."""
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        yield step(5, latent).double(), scale * torch.randn(1, 5).double(), torch.randn(1, 6, latent).double()


@pytest.fixture
def _exact(monkeypatch):
    """Keeps the `.float()` of heads from rounding, so that determinants are compared in double precision."""
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)


@every_step
@pytest.mark.parametrize("latent", [1, 2, 5])
@pytest.mark.usefixtures("_exact")
def test_the_log_determinant_is_that_of_the_jacobian(step, latent):
    for one, h, z in steps(step, latent):
        log_det = one(z, h)[1]
        matrices = jacobian(lambda z, one=one, h=h: one(z[None], h)[0][0], z[0])
        assert log_det.shape == (1, 6)
        assert_close(log_det[0], torch.linalg.slogdet(matrices).logabsdet)
        if step is not InverseAutoregressive or latent == 1:
            assert (torch.linalg.det(matrices) > 0).all()


@every_step
def test_steps_of_many_samples_and_observations_are_those_of_each(step):
    one, h, z = step(5, 3), torch.randn(4, 5), torch.randn(2, 4, 3)
    out, log_det = one(z, h)
    assert (out.shape, log_det.shape) == ((2, 4, 3), (2, 4))
    alone, alone_det = one(z[1:, 2:3], h[2:3])
    assert_close(out[1:, 2:3], alone)
    assert_close(log_det[1:, 2:3], alone_det)


def planar(u, w, b):
    step = Planar(5, len(u))
    fix(step.projection, [*u, *w, b])
    return step


def radial(centre, a, b):
    step = Radial(5, len(centre))
    fix(step.projection, [*centre, a, b])
    return step


@pytest.mark.parametrize("size", [1.0, 10.0, 100.0, 1e3, 1e5])
@pytest.mark.parametrize("latent", [1, 3, 20])
def test_planar_flows_stay_invertible_where_they_fold_most(size, latent):
    for _ in range(20):
        u = size * torch.randn(latent)
        step = planar(u, -size * (u / size + 0.1 * torch.randn(latent)), 0.0)
        log_det = step(torch.zeros(1, 1, latent), torch.zeros(1, 5))[1]
        assert log_det.isfinite().all()
        assert math.log(5e-4) < log_det.item() < 0


@pytest.mark.parametrize("size", [0.0, 1e-6, 2e-5, 1e-4])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.usefixtures("_exact")
def test_the_determinant_of_planar_flows_of_vanishing_slopes_is_still_that_of_the_map(size, sign):
    step = planar([sign * 1.0, sign * -2.0, sign * 0.5], 3 * [size], 0.3).double()
    z, h = torch.randn(4, 3).double(), torch.zeros(1, 5).double()
    matrices = jacobian(lambda z: step(z[None], h)[0][0], z)
    log_det = step(z[None], h)[1][0]
    assert log_det.isfinite().all()
    assert_close(log_det, torch.linalg.slogdet(matrices).logabsdet)


@pytest.mark.parametrize("a", [-100.0, -1.0, 0.0, 50.0, 1e4])
@pytest.mark.parametrize("b", [-1e4, -50.0, 0.0, 50.0, 1e4])
def test_radial_flows_stay_invertible_up_to_their_centre(a, b):
    step = radial([0.0, 0.0, 0.0], a, b)
    z = torch.tensor([0.0, 1e-6, 1e-3, 1.0, 1e3])[None, :, None].expand(1, 5, 3).clone().requires_grad_()
    out, log_det = step(z, torch.zeros(1, 5))
    assert log_det.isfinite().all()
    assert (out.norm(dim=-1).diff() > 0).all()
    # At the centre the map contracts to alpha + beta of alpha, of which the sum is kept above 1e-4.
    alpha = max(math.log1p(math.exp(min(a, 100))) if a < 100 else a, 1e-4)
    assert log_det[0, 0].item() > 3 * math.log(1e-4 / alpha) - 0.1
    (out.sum() + log_det.sum()).backward()
    assert z.grad.isfinite().all()


@pytest.mark.usefixtures("_exact")
def test_planar_flows_are_inverted_by_a_root_along_w():
    for one, h, z in steps(Planar):
        out = one(z, h)[0]
        _, w, b = one.projection(h).split(one.sizes, -1)
        # Orthogonally to w the shift is u times the same tanh, so that one number decides z.
        towards = one(torch.zeros(1, 1, 3).double(), h)[0][0, 0] / b[0].tanh()
        slope = (w[0] @ towards).item()
        b = b.item()

        def along(t, slope=slope, b=b):
            return t + slope * math.tanh(t + b)

        for given, found in zip(z[0], out[0], strict=True):
            level = (w[0] @ found).item()
            root = optimize.brentq(lambda t, along=along, level=level: along(t) - level, -100, 100)
            assert_close(found - towards * math.tanh(root + b), given, atol=1e-6, rtol=1e-6)


@pytest.mark.usefixtures("_exact")
def test_radial_flows_are_inverted_by_a_root_of_the_radius():
    for one, h, z in steps(Radial):
        out = one(z, h)[0]
        centre = one.projection(h)[0, :3]

        def moved(radius, direction, one=one, h=h, centre=centre):
            return (one((centre + radius * direction)[None, None], h)[0] - centre).norm().item()

        for given, found in zip(z[0], out[0], strict=True):
            offset = found - centre
            direction = offset / offset.norm()
            root = optimize.brentq(lambda r, d=direction, o=offset: moved(r, d) - o.norm().item(), 1e-9, 1e3)
            assert_close(centre + root * direction, given, atol=1e-6, rtol=1e-6)


@pytest.mark.usefixtures("_exact")
def test_autoregressive_steps_are_triangular_and_inverted_one_dimension_after_the_other():
    for one, h, z in steps(InverseAutoregressive, 5, scale=20.0):
        out = one(z, h)[0].flip(-1)
        matrices = jacobian(lambda z, one=one, h=h: one(z[None], h)[0][0].flip(-1), z[0])
        assert_close(matrices.triu(1), torch.zeros_like(matrices))
        assert (matrices.diagonal(dim1=-2, dim2=-1) > 0).all()
        below = matrices[:, *torch.tril_indices(5, 5, -1)]
        assert (below != 0).any(0).all()  # every earlier dimension is seen
        back = torch.zeros_like(z)
        for i in range(5):
            inputs = torch.cat([back, h.expand(1, 6, -1)], -1)
            centre, gate = one.network(inputs).chunk(2, -1)
            keep = (gate + 1.5).sigmoid()
            back[..., i] = ((out - (1 - keep) * centre) / keep)[..., i].detach()
        assert_close(back, z)


def test_two_autoregressive_steps_let_every_dimension_depend_on_every_other():
    torch.manual_seed(3)
    flow = Flow(5, Sizes(latent=4), InverseAutoregressive, 2)
    matrices = jacobian(lambda z: flow.transport(z[None], torch.zeros(1, 5))[0][0], torch.randn(6, 4))
    assert (matrices.abs() > 1e-8).any(0).all()


@every_step
def test_features_steer_every_step(step):
    h, z = torch.randn(4, 5).requires_grad_(), torch.randn(2, 4, 3)
    for output in step(5, 3)(z, h):
        (slope,) = torch.autograd.grad(output.sum(), h, retain_graph=True)
        assert (slope != 0).all(-1).all()


@every_step
def test_the_density_of_a_flow_integrates_to_one(step):
    torch.manual_seed(4)
    flow = Flow(5, Sizes(latent=1), step, 3).double()
    h = 2 * torch.randn(1, 5).double()
    q = flow(h)
    e = torch.linspace(-9, 9, 8001, dtype=torch.float64)[:, None, None]
    e = q.base.loc.double() + e * q.base.stddev.double()
    z, log_det = flow.transport(e, h)
    density = (q.base.log_prob(e) - log_det).exp()
    order = z.flatten().argsort()
    total = torch.trapezoid(density.flatten()[order], z.flatten()[order])
    assert total.abs().item() == pytest.approx(1, abs=2e-3)


@every_step
def test_the_density_of_samples_is_that_of_their_noise_less_all_log_determinants(step):
    flow, h = Flow(5, Sizes(latent=2), step, 3), torch.randn(4, 5)
    q = flow(h)
    torch.manual_seed(1)
    z, log_q = q.rsample_and_log_prob((7,))
    torch.manual_seed(1)
    e = flow.base(h).rsample((7,))
    matrices = torch.stack(
        [
            jacobian(lambda e, b=b: flow.transport(e[:, None], h[b : b + 1])[0][:, 0], e[:, b])
            for b in range(4)
        ],
        1,
    )
    expected = flow.base(h).log_prob(e) - torch.linalg.slogdet(matrices).logabsdet
    assert_close(z, flow.transport(e, h)[0])
    assert_close(log_q, expected, rtol=1e-4, atol=1e-4)


@every_step
def test_the_density_at_samples_weighs_a_narrow_density_to_one(step):
    """E_q[r / q] = 1 for any r that q covers."""
    torch.manual_seed(2)
    q = Flow(5, Sizes(latent=2), step, 3)(torch.zeros(1, 5))
    z, log_q = q.rsample_and_log_prob((20_000,))
    narrow = torch.distributions.MultivariateNormal(z.mean((0, 1)).detach(), 0.1 * torch.eye(2))
    assert_mean((narrow.log_prob(z) - log_q).exp().detach(), torch.ones(1))
    estimate = divergence(q, StandardGaussian(torch.zeros(2)), z, log_q)
    assert_close(estimate, (log_q - StandardGaussian(torch.zeros(2)).log_prob(z)).mean(0))


def test_a_flow_has_a_step():
    with pytest.raises(ConfigurationError, match="length"):
        Flow(5, Sizes(latent=2), Planar, 0)
    assert len(Flow(5, Sizes(latent=2), Planar, 3).steps) == 3
