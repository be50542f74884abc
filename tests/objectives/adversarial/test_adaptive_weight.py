"""The weight that makes one term's gradient as large as another's."""

import pytest
import torch
from small import small
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.runs.build import build

OPTIONS = ["variant=vae", "critic=[reconstructions]", "objective.terms.reconstructions.weight=0.5"]


def slope(value, model):
    last = model.decoder.output.weight
    return torch.autograd.grad(value, last, retain_graph=True)[0].norm()


def test_the_gradient_at_the_last_weights_is_a_share_of_the_other_terms():
    like = "objective.terms.reconstructions.like=reconstruction"
    training = build(compose([*small(), *OPTIONS, like])).training
    model, objective = training.model, training.objective
    trace = model(Batch(torch.rand(8, 1, 8, 8)))
    values = objective(trace, model)
    rest = objective.total({**values, "reconstructions": 0 * values["reconstructions"]}, 0)
    found = slope(objective.total(values, 0, model) - rest, model)
    assert_close(found, 0.5 * slope(values["reconstruction"], model), rtol=1e-2, atol=0)
    assert slope(values["reconstructions"], model) < 0.1 * found


def test_a_term_that_is_not_there_is_named():
    with pytest.raises(ConfigurationError, match="like=features is no term: name one of reconstruction"):
        build(compose([*small(), *OPTIONS, "objective.terms.reconstructions.like=features"]))
