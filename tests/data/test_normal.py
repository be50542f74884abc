"""Which observations pass for normal."""

import pytest
import torch

from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.core.errors import ConfigurationError
from aelab.data.normal import Normal
from aelab.data.splits import Observations

Y = torch.arange(1000) % 10


def test_training_and_validation_keep_the_normal_classes_and_test_keeps_all():
    data = construct(compose(["data.normal=[3,8]", "data.validation=0.2"]).data, "data")
    data.setup()
    labels = {split: set(data.observations(split).y.tolist()) for split in ("train", "val", "test")}
    assert labels == {"train": {3, 8}, "val": {3, 8}, "test": set(range(10))}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1])
def test_as_many_others_slip_in_as_are_asked_for(share):
    kept = Normal(3, share, of=10).keep(Observations(Y[:, None], Y)).y
    assert (kept == 3).sum() == 100
    assert (kept != 3).double().mean() == pytest.approx(share, abs=0.004)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classes": 10}, r"data.normal=10 must be some of the data's classes"),
        ({"classes": list(range(10))}, "and not all of them"),
        ({"classes": []}, "must be some"),
        ({"classes": 3, "of": None}, r"data.classes=None"),
        ({"contamination": 0.1}, "give both"),
        ({"classes": 3, "contamination": 1.0}, r"must lie in \[0, 1\)"),
    ],
)
def test_what_cannot_be_normal_is_refused(options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        Normal(**{"of": 10, **options})
