import pytest
import torch

from aelab.errors import ConfigurationError
from aelab.networks.conditioning import OneHot
from aelab.records import Batch


def test_one_hot_is_a_row_of_the_identity():
    y = torch.tensor([2, 0, 2, 1])
    conditioner = OneHot(3)
    assert torch.equal(conditioner(Batch(torch.rand(4, 1, 2, 2), y)), torch.eye(3)[y])
    assert conditioner.features == 3


@pytest.mark.parametrize("classes", [None, 0])
def test_data_without_classes_are_refused(classes):
    with pytest.raises(ConfigurationError, match="condition=none"):
        OneHot(classes)


def test_a_batch_without_labels_is_refused():
    with pytest.raises(ConfigurationError, match="label"):
        OneHot(3)(Batch(torch.rand(4, 1, 2, 2)))
