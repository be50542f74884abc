"""A decoder without an encoder: codes are drawn from the prior, and the bound of many codes is likelihood."""

import json

import pytest
import torch
from linear_gaussian import LATENT, NOISE, SIZE, Decoder, Noise
from small import SMALL
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal
from torch.testing import assert_close

import aelab
from aelab.cli.export import main as export
from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.records import Batch, Sizes
from aelab.data.kinds import Pixels
from aelab.metrics.estimands import estimands
from aelab.metrics.importance import importance_sampled
from aelab.models import Autoencoder
from aelab.models.ladder import Ladder
from aelab.models.networks.corruption import Masking
from aelab.models.priors import GaussianMixture, StandardNormal, Vamp
from aelab.objectives.aggregate import MMD
from aelab.objectives.base import Objective
from aelab.objectives.bounds import (
    KL,
    DoublyReparameterised,
    ImportanceWeighted,
    PartiallyImportanceWeighted,
    Reconstruction,
    StickingTheLanding,
)
from aelab.objectives.rates import Capacity
from aelab.objectives.similarity import MSSSIM
from aelab.runs.build import build

SIZES = Sizes(latent=LATENT)


def generative(prior):
    """p(z), and x = W z + b with noise, in double precision."""
    torch.manual_seed(0)
    model = Autoencoder(None, None, Decoder(LATENT), Noise(), prior, latent=LATENT).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def marginal(model):
    """What it makes of N(0, I), or of each component of a mixture: x is Gaussian, or a mixture of such."""
    weight, bias, prior = model.decoder.weight, model.decoder.bias, model.prior
    noise = NOISE**2 * torch.eye(SIZE, dtype=torch.float64)
    if isinstance(prior, StandardNormal):
        return MultivariateNormal(bias, weight @ weight.T + noise)
    scaled = weight * prior.log_variance.exp()[:, None]
    each = MultivariateNormal(prior.loc @ weight.T + bias, scaled @ weight.T + noise)
    return MixtureSameFamily(Categorical(logits=prior.logits), each)


@torch.no_grad()
def test_the_bound_of_many_codes_is_the_likelihood_of_probabilistic_pca():
    model = generative(StandardNormal(SIZES))
    x = marginal(model).sample((3,))
    trace = model(Batch(x), 200_000)
    log_p = marginal(model).log_prob(x)
    w = (trace.likelihood.log_prob(x) - log_p).exp()  # of codes of the prior, whose density cancels
    error = w.std(0) / len(w) ** 0.5
    assert (error < 0.05).all()
    found = ImportanceWeighted()(trace, model)
    assert (found + log_p.mean()).abs() < 5 * error.mean()
    few = ImportanceWeighted()(model(Batch(x), 2), model)
    assert few - found > 1  # a bound, and with few codes a loose one
    estimate, _ = importance_sampled(model, Batch(x), 20_000)
    assert ((estimate - log_p).abs() < 5 * 10**0.5 * error).all()


def test_the_gradient_of_the_bound_is_that_of_the_exact_likelihood_of_a_mixture():
    """Fisher's identity: the prior learns by its score at codes weighed by what they explain."""
    model = generative(GaussianMixture(SIZES, 3))
    x = marginal(model).sample((3,)).detach()
    parameters = dict(model.named_parameters())
    exact = torch.autograd.grad(-marginal(model).log_prob(x).mean(), list(parameters.values()))
    runs = []
    for _ in range(40):
        value = ImportanceWeighted()(model(Batch(x), 20_000), model)
        runs.append(torch.autograd.grad(value, list(parameters.values())))
    for name, truth, found in zip(parameters, exact, zip(*runs, strict=True), strict=True):
        found = torch.stack(found)
        error = found.std(0) / len(found) ** 0.5
        assert ((found.mean(0) - truth).abs() < 5 * error + 1e-3).all(), name
        assert truth.abs().max() > 10 * error.max(), name


def test_codes_are_the_priors_whatever_is_observed():
    model = generative(StandardNormal(SIZES))
    x = torch.randn(2, SIZE).double()
    drawn = []
    for observed in (x, x + 1):
        torch.manual_seed(1)
        drawn.append(model(Batch(observed), 4).z)
    assert torch.equal(*drawn)
    assert (drawn[0][:, 0] != drawn[0][:, 1]).all()  # and each observation's are its own


@pytest.mark.parametrize(
    "term",
    [KL(), Capacity(1.0), MMD(), Reconstruction(), MSSSIM(), StickingTheLanding(), DoublyReparameterised()],
    ids=lambda term: type(term).__name__,
)
def test_a_term_that_needs_codes_of_observations_is_named_in_one_sentence(term):
    model = generative(StandardNormal(SIZES))
    trace = model(Batch(torch.randn(2, SIZE).double()), 2)
    with pytest.raises(ConfigurationError, match=r"posterior.* \(in objective\.terms\.mine\)$") as refusal:
        Objective({"mine": term}, 2)(trace, model)
    assert len(str(refusal.value).splitlines()) == 1


def test_two_bounds_of_one_parameter_each_are_the_bound_where_there_is_no_posterior():
    model = generative(GaussianMixture(SIZES, 3))
    trace = model(Batch(torch.randn(2, SIZE).double()), 6)
    values = [term(trace, model) for term in (PartiallyImportanceWeighted(groups=3), ImportanceWeighted())]
    assert_close(*values)
    gradients = [torch.autograd.grad(v, list(model.parameters()), retain_graph=True) for v in values]
    assert_close(*gradients)


def test_what_needs_a_posterior_is_not_measured():
    model = generative(StandardNormal(SIZES))
    measure = estimands(LATENT, Pixels(), bits=None)
    measure.update(model(Batch(torch.randn(2, SIZE).double())))
    assert set(measure.compute()) == {"distortion"}


@pytest.mark.parametrize(
    ("structure", "slots"),
    [
        (Autoencoder, {"prior": None}),
        (Autoencoder, {"corruption": Masking(0.5)}),
        (Autoencoder, {"latent": 0}),
        (Ladder, {}),
    ],
)
def test_what_a_model_without_a_posterior_would_ignore_is_refused(structure, slots):
    parts = {"prior": StandardNormal(SIZES), "latent": LATENT} | slots
    with pytest.raises(ConfigurationError, match=r"latent=0|infers nothing: choose a prior"):
        structure(encoder=None, posterior=None, decoder=Decoder(LATENT), likelihood=Noise(), **parts)


def test_it_has_no_codes_and_a_prior_that_reads_them_says_so():
    model = generative(StandardNormal(SIZES))
    with pytest.raises(InapplicableError, match=r"no encoder .* choose one with a posterior"):
        model.encode(torch.randn(2, SIZE))
    with pytest.raises(InapplicableError, match="no encoder"):
        _ = model(Batch(torch.randn(2, SIZE).double())).q
    model.prior = Vamp(Sizes((SIZE,), LATENT), 3)
    with pytest.raises(InapplicableError, match="no encoder"):
        model(Batch(torch.randn(2, SIZE)))


# Through the front door.

DECODER = ["posterior=none", "objective=iwae", "monitor.metric=val/distortion", "monitor.mode=min"]
BASE = [option for option in SMALL if "encoder" not in option]


@pytest.fixture(scope="module")
def run(train_once):
    return train_once(*DECODER, "prior=gaussian_mixture", "trainer.limit_train_batches=20", base=BASE)


@pytest.mark.parametrize(
    "choice",
    [["prior=realnvp"], ["prior=uniform_sphere"], ["prior=conditional", "condition=label"], ["network=conv"]],
    ids=" ".join,
)
def test_it_goes_with_every_part_that_reads_no_posterior(choice):
    base = [option for option in BASE if "network=conv" not in choice or "widths" not in option]
    model = build(compose([*base, *DECODER, *choice])).training.model
    assert (model.encoder, model.posterior) == (None, None)


def test_all_of_it_is_trained(run):
    parts = build(compose([*BASE, *DECODER, "prior=gaussian_mixture"]))
    before, after = parts.training.model, aelab.load(run.path).model
    trained = {name for name, v in after.named_parameters() if not torch.equal(v, before.state_dict()[name])}
    assert trained == {name for name, _ in before.named_parameters()}
    assert {"prior.logits", "prior.loc", "prior.log_variance"} < trained


def test_what_is_defined_is_measured_and_the_rest_is_absent(run):
    metrics = run.read()["metrics"]
    assert {name for name in metrics if name.startswith("test/")} == {"test/distortion"}
    logged = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert {name for line in logged for name in line if name.startswith("val/")} == {"val/distortion"}
    assert {path.name for path in run.pictures.iterdir()} == {"samples.png"}


def test_a_loaded_decoder_samples_and_weighs_and_says_in_a_sentence_that_it_cannot_encode(run):
    model = aelab.load(run.path)
    x = torch.rand(3, 1, 8, 8)
    assert model.latent == 16
    assert model.sample(4, seed=0).shape == (4, 1, 8, 8)
    assert model.decode(torch.randn(2, 16)).shape == (2, 1, 8, 8)
    assert model.log_prob(x, samples=20, seed=0).isfinite().all()
    for refused in (model.encode, model.posterior, model.reconstruct, lambda x: model.interpolate(x, x)):
        with pytest.raises(InapplicableError, match="no encoder") as refusal:
            refused(x)
        assert len(str(refusal.value).splitlines()) == 1


def test_its_decoder_is_exported_and_an_encoder_refused(run, tmp_path):
    def write(*overrides):
        options = ["format=torch_export", *overrides]
        export(compose([f"run={run.path}", f"to={tmp_path / 'to'}", *options], "export"))

    for part in ("encoder", "all"):
        with pytest.raises(InapplicableError, match=r"^the model has no encoder .*choose part=decoder$"):
            write(f"part={part}")
        assert not (tmp_path / "to").exists()
    write("part=decoder")
    z = torch.randn(7, 16)
    images = torch.export.load(tmp_path / "to" / "decoder.pt2").module()(z)
    assert_close(images, aelab.load(run.path).decode(z), atol=1e-5, rtol=0)


def test_an_evaluation_says_what_is_undefined_and_ends_well(run, evaluate):
    found = evaluate(run)
    assert torch.is_grad_enabled()
    estimates, undefined = found["estimates"], found["undefined"]
    assert estimates["likelihood/nll"]["value"] > 0
    assert any(name.startswith("generation/") for name in estimates)
    assert "of codes of the prior" in estimates["likelihood/distortion"]["note"]
    for name in ("likelihood/elbo", "likelihood/kl", "likelihood/active_units", "reconstruction"):
        assert name in undefined
    assert "no encoder" in undefined["reconstruction"]
    assert "no encoder" in undefined["generation_mixture"]
    assert "no encoder" in found["left_out"]["representation"]
    codes = (
        "reconstruction/",
        "representation/",
        "generation_mixture/",
        "likelihood/kl",
        "likelihood/elbo",
    )
    assert not [name for name in estimates if name.startswith(codes)]
    assert not [why for why in found["left_out"].values() if why.startswith("failed")]
