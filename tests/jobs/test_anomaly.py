"""Scores of anomalies: the sign of each, what is exact of them, and the rule that is made of them."""

import pytest
import torch
from linear_gaussian import SIZE, linear_gaussian
from omegaconf import OmegaConf

from aelab.config.construct import construct
from aelab.config.folders import choices
from aelab.core.errors import AelabError, InapplicableError
from aelab.core.paths import conf_dir
from aelab.core.records import Batch
from aelab.jobs.anomaly import (
    LikelihoodRatio,
    LikelihoodRegret,
    NegativeElbo,
    NegativeLogLikelihood,
    Reference,
    Typicality,
)
from aelab.jobs.threshold import Threshold


@pytest.fixture(scope="module")
def exact():
    """A model whose posterior is exact, its evidence, and training data and test data that it describes."""
    model, evidence = linear_gaussian(exact=True)
    model.requires_grad_(False)
    torch.manual_seed(0)
    return model, evidence, Batch(evidence.sample((400,))), Batch(evidence.sample((50,)))


@pytest.fixture(scope="module")
def reference(exact):
    model, _, train, _ = exact
    return Reference(model, [train], linear_gaussian(exact=True)[0].requires_grad_(False))


def scored(score, reference, batch):
    torch.manual_seed(1)
    score.fit(reference)
    return score(batch)


def made(name, **options):
    node = OmegaConf.load(conf_dir() / "score" / f"{name}.yaml")[name]
    return construct({**node, **options}, name)


@pytest.mark.parametrize("name", sorted(set(choices("score")) - {"likelihood_ratio", "principal_components"}))
def test_an_obvious_outlier_scores_above_all_normal_observations(exact, reference, name):
    model, evidence, _, test = exact
    # Far away along an axis of the codes, and off the plane that they span.
    far = evidence.mean + 40 * model.decoder.weight.sum(1) + 40 * torch.ones(SIZE, dtype=torch.float64)
    score = made(name)
    assert scored(score, reference, Batch(far[None].double())) > scored(score, reference, test).max()


def test_principal_components_leave_what_lies_off_their_plane(exact, reference):
    model, evidence, _, test = exact
    off = torch.linalg.qr(model.decoder.weight, mode="complete")[0][:, -1]
    outlier = Batch((evidence.mean + 40 * off)[None])
    score = made("principal_components", components=2)
    assert scored(score, reference, outlier) > scored(score, reference, test).max()


def test_a_ratio_tells_what_the_background_explains_better(exact, reference):
    _, evidence, _, test = exact
    background = linear_gaussian(exact=True)[0].requires_grad_(False)
    background.decoder.bias.add_(10.0)
    background.posterior.shift.sub_(background.posterior.slope @ torch.full((SIZE,), 10.0).double())
    ratio = LikelihoodRatio(samples=200)
    with_background = Reference(reference.model, reference.batches, background)
    outlier = Batch((evidence.mean + 10)[None])
    assert scored(ratio, with_background, outlier) > scored(ratio, with_background, test).max()


def test_the_ratio_of_equal_models_is_nothing(exact, reference):
    assert scored(LikelihoodRatio(), reference, exact[3]).abs().max() == 0


@pytest.mark.parametrize("score", [NegativeElbo(3), NegativeLogLikelihood(3)])
def test_bound_and_likelihood_of_an_exact_posterior_are_the_evidence(exact, reference, score):
    _, evidence, _, test = exact
    expected = -evidence.log_prob(test.x)
    found = scored(score, reference, test)
    tolerance = 1e-8 if isinstance(score, NegativeLogLikelihood) else 3.0
    assert (found - expected).abs().max() < tolerance
    assert (found - expected).mean().abs() < tolerance / 3


def test_regret_is_what_an_inexact_posterior_loses(exact, reference):
    test = exact[3]
    score = LikelihoodRegret(steps=60, draws=64)
    assert scored(score, reference, test).mean() < 0.1
    inexact = linear_gaussian(exact=False)[0].requires_grad_(False)
    lost = scored(score, Reference(inexact), test)
    assert lost.min() >= 0
    gap = scored(NegativeElbo(500), Reference(inexact), test) - scored(NegativeElbo(500), reference, test)
    assert lost.mean() == pytest.approx(gap.mean().item(), rel=0.15)


def test_typicality_counts_what_is_too_likely(exact, reference):
    _, evidence, _, _ = exact
    likeliest = Batch(evidence.mean[None])
    usual = scored(Typicality(50), reference, likeliest)
    bound = scored(NegativeElbo(50), reference, likeliest)
    torch.testing.assert_close(usual, (bound - reference.bound).abs(), rtol=0, atol=0.5)


def test_a_threshold_keeps_its_rate():
    torch.manual_seed(0)
    rates = []
    for _ in range(200):
        rule = Threshold(torch.randn(99), rate=0.1)
        rates.append(rule.anomalous(torch.randn(200)).double().mean())
    assert torch.stack(rates).mean() == pytest.approx(0.1, abs=0.006)


def test_a_rate_that_so_few_scores_cannot_tell_is_refused():
    with pytest.raises(AelabError, match=r"a rate of 0.01 false positives must lie from 0.091"):
        Threshold(torch.randn(10), rate=0.01)


def test_what_a_score_needs_is_said(exact):
    model, _, _, _ = exact
    with pytest.raises(InapplicableError, match="background=RUN"):
        LikelihoodRatio().fit(Reference(model))
    with pytest.raises(InapplicableError, match="there are none"):
        Typicality().fit(Reference(model))
