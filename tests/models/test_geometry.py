"""Metrics of codes and dynamics in them: explicit linear algebra, reversibility, volume, and flat space."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from linear_gaussian import LATENT, linear_gaussian
from small import SMALL
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.core.signals import Signals
from aelab.models.evidence import log_weights
from aelab.models.geometry import Centroids, Flat, KernelGeometry, gradient
from aelab.models.hamiltonian import Hamiltonian
from aelab.runs.build import build
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.train import resume
from aelab.training.checkpoints import load, resume_points

RHVAE = ["variant=rhvae", "latent=3", "model.structure.metric.centroids=150"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def doubles(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def kernels(count=6, size=2, least=0.3, iterations=60):
    factors = doubles(count, size, size).tril()
    return KernelGeometry(
        doubles(count, size), factors @ factors.mT, width=1.3, least=least, iterations=iterations
    )


def constant(least):
    return KernelGeometry(doubles(1, 2), torch.zeros(1, 2, 2).double(), width=1.0, least=least, iterations=3)


def double_well(z):
    return (z.square() - 1).square().sum(-1) + 0.5 * z[..., 0] * z[..., 1] + z.cos().sum(-1)


SIZES = torch.tensor([0.05, 0.08]).double()


def step(geometry, z, momentum, size=SIZES, energy=double_well):
    return geometry.leapfrog(z, momentum, gradient(energy, z), size, energy)[:2]


def explicit(geometry, z):
    """G^-1 of one code, as a sum over centroids."""
    found = geometry.least * torch.eye(len(z)).double()
    for centre, matrix in zip(geometry.centres, geometry.matrices, strict=True):
        found = found + matrix * torch.exp(-(z - centre).square().sum() / geometry.width**2)
    return found


def test_the_metric_is_the_sum_over_centroids():
    geometry, z, momentum = kernels(size=3), doubles(2, 4, 3), doubles(2, 4, 3)
    each = torch.stack([explicit(geometry, code) for code in z.flatten(0, 1)]).unflatten(0, (2, 4))
    assert_close(geometry.inverse(z), each)
    metric = MultivariateNormal(torch.zeros(3).double(), torch.linalg.inv(each))
    assert_close(geometry.log_prob(z, momentum), metric.log_prob(momentum))
    assert_close(geometry.velocity(z, momentum), (each @ momentum[..., None])[..., 0])


def test_momenta_are_drawn_of_the_metric():
    geometry, z = kernels(size=3), doubles(1, 1, 3)
    columns, log_det = geometry.coloured(z.expand(1, 3, 3), torch.eye(3).double()[None])
    root = columns[0].T
    assert_close(root @ root.T, torch.linalg.inv(explicit(geometry, z[0, 0])))
    assert_close(log_det[0, 0], torch.linalg.slogdet(root)[1])


def test_the_force_is_the_gradient_of_the_kinetic_energy():
    geometry, momentum = kernels(size=3), doubles(2, 4, 3)
    z = doubles(2, 4, 3).requires_grad_()
    inverse = torch.stack([explicit(geometry, code) for code in z.flatten(0, 1)])
    flat = momentum.flatten(0, 1)
    kinetic = 0.5 * torch.einsum("ni,nij,nj->n", flat, inverse, flat) - 0.5 * torch.logdet(inverse)
    (wanted,) = torch.autograd.grad(kinetic.sum(), z)
    assert_close(geometry.slope(z.detach())(momentum), wanted)


def test_dynamics_in_the_metric_are_reversible():
    geometry, z = kernels(), 0.5 * doubles(3, 4, 2)
    momentum, _ = geometry.coloured(z, doubles(3, 4, 2))
    there, turned = z, momentum
    for _ in range(5):
        there, turned = step(geometry, there, turned)
    flat, _ = step(Flat(), z, momentum)
    assert (there - z).abs().max() > 0.1
    assert (step(geometry, z, momentum)[0] - flat).abs().max() > 0.01
    back, turned = there, -turned
    for _ in range(5):
        back, turned = step(geometry, back, turned)
    assert_close(back, z, rtol=0, atol=1e-10)
    assert_close(turned, -momentum, rtol=0, atol=1e-10)


def test_dynamics_in_the_metric_preserve_volume():
    geometry = kernels()

    def mapping(state):
        return torch.cat(step(geometry, *state[None, None].chunk(2, -1)), -1)[0, 0]

    for _ in range(5):
        jacobian = torch.autograd.functional.jacobian(mapping, doubles(4))
        assert_close(jacobian.det().item(), 1.0)
        assert (jacobian - torch.eye(4)).abs().max() > 0.05


def test_dynamics_in_the_metric_conserve_energy_to_the_second_order():
    geometry = kernels(least=1.0, iterations=15)
    z, momentum = 0.5 * doubles(1, 20, 2), doubles(1, 20, 2)

    def total(z, momentum):
        return double_well(z) - geometry.log_prob(z, momentum)

    def worst(count):
        at, rho, size = z, momentum, torch.tensor(1.0 / count).double()
        errors = []
        for _ in range(count):
            at, rho = step(geometry, at, rho, size)
            errors.append((total(at, rho) - total(z, momentum)).abs().mean())
        return torch.stack(errors).max().item()

    for coarse, fine in pairwise([worst(count) for count in (30, 60, 120)]):
        assert coarse / fine == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("least", [1.0, 0.25])
def test_in_a_constant_metric_dynamics_are_flat_ones_of_other_steps(least):
    geometry, z, momentum = constant(least), doubles(3, 4, 2), doubles(3, 4, 2)
    coloured, log_det = geometry.coloured(z, momentum)
    assert_close(coloured, momentum / least**0.5)
    one, rho = step(geometry, z, coloured)
    other, plain = step(Flat(), z, momentum, size=SIZES * least**0.5)
    assert_close(one, other)
    assert_close(rho * least**0.5, plain)
    assert_close(geometry.log_prob(z, rho) + log_det, Flat().log_prob(z, plain))


# Models.


def riemannian(**options):
    metric = partial(Centroids, **{"centroids": 4, "iterations": 60, **options})
    model, marginal = linear_gaussian(False, Hamiltonian, steps=3, size=0.1, temperature=0.6, metric=metric)
    return model.eval(), marginal


def filled(model):
    """With centroids as training leaves them."""
    model.train()
    model(Batch(doubles(4, 5)))
    return model.eval()


def test_in_a_flat_metric_the_model_is_the_hamiltonian_one():
    model, marginal = riemannian(least=1.0)
    plain, _ = linear_gaussian(False, Hamiltonian, steps=3, size=0.1, temperature=0.6)
    batch, found = Batch(marginal.sample((3,))), []
    for each in (model, plain):
        torch.manual_seed(1)
        trace = each(batch, 2)
        found.append((trace.z, trace.log_q))
    assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(filled(model)(batch, 2).z, found[1][0])


def test_what_transport_takes_off_is_the_determinant_and_the_momentums_density():
    model, _ = riemannian()
    geometry, state, seen = kernels(), doubles(2 * LATENT), []

    def mapping(state):
        z, noise = state[None, None].chunk(2, -1)
        momentum, root = geometry.coloured(z, noise)[0], 0.6**0.5
        cooled = root
        for k in range(1, 4):
            z, momentum = step(geometry, z, momentum, torch.tensor(0.1).double())
            warmer, cooled = cooled, 1 / ((1 - 1 / root) * (k / 3) ** 2 + 1 / root)
            momentum = momentum * (warmer / cooled)
        seen.append((z, momentum))
        return torch.cat([z, momentum], -1)[0, 0]

    final = mapping(state)
    z, taken_off = model.transport(state[None, None], double_well, geometry)
    assert_close(z[0, 0], final[:LATENT], rtol=1e-5, atol=1e-6)
    _, log_det = torch.linalg.slogdet(torch.autograd.functional.jacobian(mapping, state))
    assert_close(taken_off, log_det + geometry.log_prob(*seen[0]), rtol=1e-5, atol=1e-5)


def test_importance_weights_average_to_the_evidence():
    model, marginal = riemannian()
    filled(model)
    x = marginal.sample((4,))
    with torch.no_grad():
        w = (log_weights(model(Batch(x), 5000)) - marginal.log_prob(x)).exp()
    assert ((w.mean(0) - 1).abs() < 3 * w.std(0) / 5000**0.5).all()
    assert (w.std(0) > 0.01).all()


def test_every_part_has_a_gradient_that_is_that_of_finite_differences():
    model, marginal = riemannian()
    x = marginal.sample((3,))
    filled(model)
    centres = model.metric.centres.clone(), model.metric.matrices.clone()

    def bound():
        torch.manual_seed(7)
        model.metric.centres.copy_(centres[0]), model.metric.matrices.copy_(centres[1])
        return log_weights(model.train()(Batch(x), 2)).mean()

    bound().backward()
    assert model.metric.factors.weight.grad.any()
    for parameter in (model.metric.factors.bias, model.posterior.shift, model.size_logit):
        for i in range(len(parameter)):
            ends = []
            for sign in (1, -1):
                parameter.data[i] += sign * 1e-6
                ends.append(bound().item())
                parameter.data[i] -= sign * 1e-6
            wanted = (ends[0] - ends[1]) / 2e-6
            assert parameter.grad[i].item() == pytest.approx(wanted, rel=1e-4, abs=1e-6)
            assert wanted != 0


def test_after_an_epoch_the_centroids_are_the_codes_of_the_last_observations(train):
    run = train(*RHVAE, "optimizer.lr=0", "data.batch_size=64")
    state = load(resume_points(run.checkpoints)[0])["state_dict"]
    training = build(compose([*SMALL, *RHVAE])).training
    assert not training.model.metric.centres.any()  # what is tried before leaves none
    training.load_state_dict(state)
    data = build(compose([*SMALL, *RHVAE])).data
    with torch.no_grad():
        codes = training.model.encode(data.train_examples(2000).x).mean
    centres = state["model.metric.centres"]
    assert centres.shape == (150, 3)  # of the 192 in three batches
    assert torch.cdist(centres, codes).min(1).values.max() < 1e-3
    matrices = state["model.metric.matrices"]
    assert torch.linalg.eigvalsh(matrices).min() > 0


def test_centroids_move_in_training_alone_and_a_kill_loses_none(train):
    options = [*RHVAE, "resume_points.every_batches=1", "resume_points.keep=99"]
    run = train(*options, "trainer.max_epochs=2")
    newest = resume_points(run.checkpoints)[0]
    journal, wanted = run.metrics.read_bytes(), load(newest)["state_dict"]
    run.update(status=Status.KILLED)
    for point in resume_points(run.checkpoints)[:2]:
        point.unlink()
    resume(Run.open(run.path), Signals())
    assert run.metrics.read_bytes() == journal
    found = load(resume_points(RunFolder(run.path).checkpoints)[0])["state_dict"]
    assert all(value.equal(found[name]) for name, value in wanted.items())
    training = build(compose([*SMALL, *RHVAE])).training
    training.load_state_dict(wanted)
    x = torch.rand(5, 1, 8, 8)
    model, before = training.model.eval(), wanted["model.metric.centres"]
    torch.manual_seed(0)
    together = model.posterior_of(x).mean
    assert_close(model.posterior_of(x[:1]).mean, together[:1], rtol=1e-4, atol=1e-5)
    assert model.metric.centres.equal(before)


@pytest.mark.parametrize("option", ["centroids=0", "iterations=0", "width=0", "least=0"])
def test_metrics_that_cannot_be_are_refused(option):
    with pytest.raises(ConfigurationError, match=r"model\.structure\.metric"):
        build(compose([*SMALL, *RHVAE, f"model.structure.metric.{option}"]))


def test_a_pass_that_has_diverged_has_no_density_and_raises_nothing():
    nowhere = torch.full((1, 1, 2), torch.nan).double()
    assert kernels().log_prob(nowhere, nowhere).isnan().all()
    assert step(kernels(), nowhere, nowhere)[0].isnan().all()
