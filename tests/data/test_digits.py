import numpy as np
import torch
from sklearn.datasets import load_digits

from aelab.data.sources.digits import Digits


def rows(images):
    return sorted(zip(images.x.flatten(1).tolist(), images.y.tolist(), strict=True))


def test_the_splits_hold_each_digit_once_with_its_label():
    splits = Digits().load()
    values, labels = load_digits(return_X_y=True)
    expected = np.floor(values * 255 / 16 + 0.5).astype(int).tolist()
    assert rows(splits.train) + rows(splits.test) != []
    assert sorted(rows(splits.train) + rows(splits.test)) == sorted(
        zip(expected, labels.tolist(), strict=True)
    )
    assert (len(splits.train), len(splits.test)) == (1500, 297)


def test_the_split_depends_on_no_global_seed():
    torch.manual_seed(1)
    np.random.seed(1)
    first = Digits().load()
    torch.manual_seed(2)
    np.random.seed(2)
    second = Digits().load()
    assert torch.equal(first.test.x, second.test.x)
    assert first.checksums == second.checksums


def test_the_test_split_is_shuffled_and_holds_every_class():
    counts = torch.bincount(Digits().load().test.y, minlength=10)
    assert counts.min() >= 15
