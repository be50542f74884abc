"""The bound of labels that are known of some: against the sum over all of them, one by one."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Sizes
from aelab.metrics.labels import classification_error
from aelab.models import autoencoder
from aelab.models.likelihoods import Bernoulli
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import Labelled
from aelab.models.priors import Conditional, StandardNormal
from aelab.models.priors import Labelled as LabelledPrior
from aelab.objectives.bounds import Reconstruction
from aelab.objectives.classification import Classification
from aelab.objectives.labelled import LabelledBound

K = 3


def build(given=None, classes=K):
    torch.manual_seed(0)
    encoder, decoder = partial(MLPEncoder, widths=[5]), partial(MLPDecoder, widths=[5])
    model = autoencoder(
        (1, 3, 3), 2, classes, encoder=encoder, decoder=decoder, likelihood=Bernoulli(),
        posterior=partial(Labelled, widths=[4]), prior=partial(LabelledPrior, given=given),
    )  # fmt: skip
    with torch.no_grad():  # codes without noise, so that passes can be compared one by one
        model.posterior.between.head.projection.bias[2:] = -14
    return model


def cost(model, x, y):
    batch = Batch(x, torch.as_tensor(y))
    return LabelledBound()(model(batch), model)


@pytest.mark.parametrize("given", [None, Conditional])
def test_the_bound_without_a_label_is_the_sum_over_all_of_them(given):
    model, x = build(given), torch.rand(1, 1, 3, 3)
    if given is Conditional:
        nn.init.normal_(model.prior.given.projection.weight)
    q = model.posterior_of(x).probabilities[0]
    each = torch.stack([cost(model, x, [label]) for label in range(K)])
    # The bound of x and y holds -log p(y) too.
    assert_close(cost(model, x, [-1]), (q * (each + q.log())).sum(), atol=1e-3, rtol=0)


def test_a_batch_is_the_mean_of_its_observations_whatever_is_known_of_them():
    model, x = build(), torch.rand(4, 1, 3, 3)
    y = [1, -1, -1, 0]
    alone = torch.stack([cost(model, x[i : i + 1], y[i : i + 1]) for i in range(4)])
    assert_close(cost(model, x, y), alone.mean(), atol=1e-3, rtol=0)


def test_a_sure_guess_costs_what_the_label_does():
    model, x = build(), torch.rand(1, 1, 3, 3)
    with torch.no_grad():
        model.posterior.label.weight.zero_()
        model.posterior.label.bias.copy_(torch.tensor([0.0, 60.0, 0.0]))
    assert_close(cost(model, x, [-1]), cost(model, x, [1]), atol=1e-3, rtol=0)
    assert Classification(Sizes(classes=K))(model(Batch(x, torch.tensor([1]))), model) < 1e-6
    errors = classification_error(model(Batch(x.expand(2, -1, -1, -1), torch.tensor([1, 2]))))
    assert errors["classification_error"].tolist() == [0.0, 1.0]


def test_what_is_known_alone_trains_the_guess_directly():
    model, x = build(), torch.rand(3, 1, 3, 3)
    some = model(Batch(x, torch.tensor([2, -1, -1])))
    logits = some.posterior.first.logits[:, 0]
    assert_close(Classification(Sizes(classes=K))(some, model), -logits[0, 2])
    assert Classification(Sizes(classes=K))(model(Batch(x, torch.full((3,), -1))), model) == 0


def test_labels_are_asked_of_data_and_codes_that_have_them():
    with pytest.raises(ConfigurationError, match=r"data.classes is null"):
        build(classes=None)
    model, x = build(), torch.rand(2, 1, 3, 3)
    with pytest.raises(ConfigurationError, match="these data have none"):
        LabelledBound()(model(Batch(x)), model)
    assert Reconstruction()(model(Batch(x)), model).isfinite()


def test_a_prior_of_the_rest_that_reads_no_label_is_refused():
    model = build(StandardNormal)
    with pytest.raises(ConfigurationError, match="null for N"):
        cost(model, torch.rand(2, 1, 3, 3), [0, 1])
