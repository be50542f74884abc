"""Clusters of codes: assignments, centres, and what a model's own clusters are worth."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from oracles import undecoded
from sklearn.cluster import KMeans
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Sizes, Trace
from aelab.evaluation.representation import guessed
from aelab.metrics.representation.clustering import agreement
from aelab.models.distributions import PointMass
from aelab.models.priors import Centres, GaussianMixture, StandardNormal
from aelab.objectives.clustering import DeepClustering, sharpened


def codes(count=60):
    torch.manual_seed(0)
    return torch.randn(count, 2) + 6 * torch.eye(3)[torch.arange(count) % 3][:, :2]


def model(prior):
    return SimpleNamespace(posterior=None, prior=prior, parameters=lambda: iter(prior.state_dict().values()))


def cost(z, prior):
    x = torch.zeros(len(z), 1)
    return DeepClustering()(Trace(Batch(x), x, None, PointMass(z), None, z[None], undecoded), model(prior))


def test_the_cost_is_the_divergence_from_sharper_assignments_entry_by_entry():
    z, prior = codes(4), Centres(Sizes(latent=2), 3)
    q = torch.tensor([[1 / (1 + float((a - m).square().sum())) for m in prior.loc] for a in z])
    q = q / q.sum(1, keepdim=True)
    p = torch.stack([q[i] ** 2 / q.sum(0) for i in range(4)])
    p = p / p.sum(1, keepdim=True)
    assert_close(cost(z, prior), (p * (p / q).log()).sum(1).mean())
    assert_close(sharpened(q), p)


def test_a_step_on_it_makes_assignments_surer():
    z, prior = codes().requires_grad_(), Centres(Sizes(latent=2), 3)
    prior.begin(z.detach())
    before = cost(z, prior)
    (gradient,) = torch.autograd.grad(before, z)
    assert cost(z - gradient * 50, prior) < before


def test_centres_are_fitted_by_lloyds_steps():
    z, prior = codes(), Centres(Sizes(latent=2), 3)
    start = z[:3].numpy()
    prior.loc.data.copy_(z[:3])
    prior.gather(z[:20])
    prior.gather(z[20:])
    prior.refit()
    theirs = KMeans(3, init=start, n_init=1, max_iter=1, algorithm="lloyd").fit(z.numpy())
    assert_close(prior.loc.data, torch.as_tensor(theirs.cluster_centers_).float())


@pytest.mark.parametrize("kind", [Centres, GaussianMixture])
def test_the_models_own_clusters_are_those_of_bayes_rule_and_agree_whatever_their_order(kind):
    z, prior = codes(), kind(Sizes(latent=2), 3)
    prior.begin(z)
    found = guessed(model(prior), z.numpy())
    weighed = prior(None, None)
    joint = weighed.mixture_distribution.probs * weighed.component_distribution.log_prob(z[:, None]).exp()
    assert (found == joint.argmax(1).numpy()).all()
    scores = {e.quantity.name: e.value for e in agreement("model", found, np.arange(60) % 3)}
    assert scores["model_accuracy"] > 0.95
    assert scores["model_ari"] > 0.9


def test_what_has_no_clusters_says_so():
    assert guessed(model(StandardNormal(Sizes(latent=2))), codes().numpy()) is None
    with pytest.raises(ConfigurationError, match="prior=centres"):
        cost(codes(), StandardNormal(Sizes(latent=2)))
