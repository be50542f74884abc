"""The parts of an evaluation on models whose answers are known."""

import csv
import math

import numpy as np
import pytest
import torch
from known import CPU, Pixels, Shown, Vectors, subject
from linear_gaussian import linear_gaussian

from aelab.core.records import Sizes
from aelab.evaluation.findings import Findings
from aelab.evaluation.generation import Generation
from aelab.evaluation.likelihood import Likelihood
from aelab.evaluation.representation import Representation
from aelab.evaluation.stability import Stability
from aelab.evaluation.subject import Subject
from aelab.models.conditions import OneHot

RATE = ("mutual_information", "total_correlation", "dimensionwise_kl", "marginal_kl")


@pytest.fixture
def found(tmp_path, evaluation_cache, monkeypatch):
    """What a part finds of a subject."""
    monkeypatch.setenv("AELAB_DATA", str(evaluation_cache))

    def find(part, of):
        findings = Findings(tmp_path / "evaluation")
        part(of, findings)
        return findings

    return find


@pytest.fixture(scope="module")
def linear():
    """Linear-Gaussian models of one evidence, with an exact posterior and one that is off."""

    def make(exact, seed=0, count=1500):
        model, truth = linear_gaussian(exact=exact)
        with torch.random.fork_rng():
            torch.manual_seed(17)
            x = truth.sample((count,))
        return Subject(model.eval().requires_grad_(False), Vectors(x), "linear", seed, CPU), truth

    return make


def test_an_exact_posterior_makes_bound_and_estimate_the_evidence(linear, found):
    of, truth = linear(exact=True)
    evidence = truth.log_prob(of.data.x)
    values = found(Likelihood(samples=3, images=200, codes=50), of).estimates
    assert values["likelihood/nll"].value == pytest.approx(-evidence[:200].mean().item(), rel=1e-9)
    assert values["likelihood/nll"].count == 200
    assert values["likelihood/nll_effective_samples"].value == pytest.approx(3)
    assert "likelihood/nll_bits_per_dim" not in values  # of real numbers
    assert values["likelihood/nll"].error == pytest.approx(evidence[:200].std().item() / 200**0.5)
    elbo = values["likelihood/elbo"]
    assert elbo.value == pytest.approx(evidence.mean().item(), abs=4 * 1500**-0.5)
    sides = values["likelihood/distortion"].value + values["likelihood/kl"].value
    assert elbo.value == pytest.approx(-sides, rel=1e-12)


def test_a_posterior_that_is_off_leaves_the_estimate_at_the_evidence_and_the_bound_below(linear, found):
    part = Likelihood(samples=500, images=100, codes=10, aggregate=20)
    runs = [found(part, linear(exact=False, seed=seed, count=100)[0]).estimates for seed in range(5)]
    of, truth = linear(exact=False, count=100)
    evidence = truth.log_prob(of.data.x).mean().item()
    estimates = np.array([run["likelihood/nll"].value for run in runs])
    error = estimates.std(ddof=1) / 5**0.5
    assert 0 < error < 0.01
    assert estimates.mean() == pytest.approx(-evidence, abs=3 * error)
    assert all(run["likelihood/elbo"].value < evidence - 0.05 for run in runs)
    assert all(1 < run["likelihood/nll_effective_samples"].value < 480 for run in runs)


@pytest.mark.parametrize("exact", [True, False])
def test_the_parts_of_the_rate_sum_to_it(linear, found, exact):
    of, _ = linear(exact)
    values = found(Likelihood(samples=1, images=2, codes=1500), of).estimates
    mutual, total, each, marginal = (values[f"likelihood/{name}"] for name in RATE)
    assert total.value + each.value == pytest.approx(marginal.value, abs=1e-9)
    rate = values["likelihood/kl"]
    assert mutual.value + marginal.value == pytest.approx(rate.value, abs=4 * (2 / 1500) ** 0.5)
    assert mutual.value < np.log(1500)
    if exact:  # the aggregate posterior is the prior, and the rate the information
        truth = 0.5 * np.log(np.linalg.det(of_ratio(of.model)))
        assert mutual.value == pytest.approx(truth, abs=0.05 + 3 * mutual.error)
        assert marginal.value == pytest.approx(0, abs=0.1)


def of_ratio(model):
    """The prior's over the posterior's variance, as a diagonal matrix."""
    return np.diag((model.prior.log_variance - model.posterior.log_variance).exp().numpy())


def test_the_rate_of_each_dimension_stands_in_the_table(linear, found):
    of, _ = linear(exact=False)
    findings = found(Likelihood(samples=1, images=2, codes=10), of)
    with findings.tables[0].open() as file:
        rows = list(csv.DictReader(file))
    total = sum(float(row["kl"]) for row in rows)
    error = sum(float(row["standard_error"]) ** 2 for row in rows) ** 0.5
    assert total == pytest.approx(findings.estimates["likelihood/kl"].value, abs=4 * error)
    means = of.codes("test")
    assert [float(row["variance_of_mean"]) for row in rows] == pytest.approx(means.var(0), rel=1e-4)


def test_a_model_that_ignores_its_images_is_an_alarm(found):
    part = Likelihood(samples=2, images=50, codes=50)
    ignored = found(part, subject(Pixels(constant=True, log_variance=0.0)))
    assert "codes say nothing" in ignored.alarms["posterior_collapse"]
    assert ignored.alarms["dead_codes"].startswith("4 of 4")
    assert ignored.estimates["likelihood/kl"].value == pytest.approx(0, abs=1e-6)
    assert ignored.estimates["likelihood/active_units"].value == 0
    assert not found(part, subject()).alarms


class Torn(Shown):
    """As it is shown, but for one code in ten, for which all is far off."""

    def forward(self, z, context=None):
        return super().forward(z) + 1e3 * (1e4 * z[:, :1, None, None] % 1 < 0.1)


def test_a_bound_and_an_evidence_that_contradict_each_other_are_an_alarm(found):
    part = Likelihood(samples=50, images=50, codes=50)
    torn = found(part, subject(decoder=Torn()))
    assert torn.estimates["likelihood/elbo"].value < -1e6 < -100 < -torn.estimates["likelihood/nll"].value
    assert list(torn.alarms) == ["bound_far_below_evidence"]


def test_a_density_far_narrower_than_the_grid_of_its_values_is_an_alarm(found):
    of, part = subject(), Likelihood(samples=2, images=20, codes=20)
    of.model.likelihood.log_variance = 2 * math.log(0.4 / 255 / 11)
    assert found(part, of).alarms["density_narrower_than_grid"].startswith("100.0%")
    of.model.likelihood.log_variance = 2 * math.log(0.4 / 255 / 9)
    assert "density_narrower_than_grid" not in found(part, of).alarms


class Copies:
    """Test images in the place of samples."""

    def undefined(self, of):
        return ""

    def __call__(self, of, count):
        return of.expected("test", count)[:]


def test_a_decoder_that_ignores_its_codes_is_an_alarm(found):
    part = Generation(count=200, train=400)
    blind = found(part, subject(decoder=Shown(blind=True)))
    assert blind.estimates["generation/diversity"].value == pytest.approx(0, abs=0.01)
    assert "generation_low_diversity" in blind.alarms
    copies = found(Generation(count=200, train=400, sampler=Copies()), subject())
    assert not copies.alarms
    assert copies.estimates["generation/recall"].value == 1
    assert copies.estimates["generation/frechet"].value == pytest.approx(0, abs=1e-6)


def test_labels_are_read_off_samples_of_models_that_are_told_them_alone(found):
    part = Generation(count=200, train=400)
    told = found(part, subject(decoder=Shown(told=True), conditioner=OneHot(Sizes(classes=4))))
    accuracy = told.estimates["generation/label_accuracy"]
    assert accuracy.value > 0.9
    assert accuracy.count == 200
    assert "generation/label_accuracy" not in found(part, subject()).estimates


def test_a_model_without_a_prior_is_not_sampled(found):
    findings = found(Generation(count=200), subject(prior=False))
    assert "no prior" in findings.undefined["generation"]
    assert not findings.estimates


def test_a_constant_code_does_not_move_and_another_one_does(found):
    part = Stability(images=300, repeats=4, noise=0.1)
    still = found(part, subject(Pixels(constant=True))).estimates
    assert still["stability/code_shift_input_noise"].value == 0
    assert still["stability/mse_increase_input_noise"].value == pytest.approx(0, abs=1e-6)
    assert still["stability/code_shift_bfloat16"].value == 0
    moved = found(part, subject()).estimates
    spread = subject().codes("test").std(0)
    expected = 0.1 * 1.88 / np.sqrt((spread**2).sum())  # the mean of chi with four degrees of freedom
    assert moved["stability/code_shift_input_noise"].value == pytest.approx(expected, rel=0.1)
    assert moved["stability/mse_increase_input_noise"].value == pytest.approx(0.01, rel=0.2)


def test_the_spread_of_a_bound_is_that_of_its_noise(found):
    spreads = [found(Stability(images=300, repeats=20), subject(seed=s)).estimates for s in range(3)]
    for name in ("elbo", "distortion"):
        each = np.array([run[f"stability/{name}_spread"].value for run in spreads])
        # Of a squared error over 4 pixels, 2 v^2 each in units of 2 sigma^2 and with v = sigma^2.
        assert each.mean() == pytest.approx((4 / 2) ** 0.5 / 300**0.5, rel=0.3)


def test_codes_that_say_the_label_are_read_and_constant_ones_are_not(found):
    read = found(Representation(draws=2, tsne=False), subject()).estimates
    assert read["representation/linear_probe"].value > 0.7
    blank = found(Representation(draws=2, tsne=False), subject(Pixels(constant=True))).estimates
    assert blank["representation/linear_probe"].value < 0.4
