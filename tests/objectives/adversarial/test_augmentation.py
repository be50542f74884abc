"""Differentiable augmentation: what it changes, how often, and that gradients pass."""

import pytest
import torch

from aelab.core.errors import ConfigurationError
from aelab.objectives.adversarial.augmentation import Augmentation, brighten, cut_out, shift

X = torch.rand(400, 2, 8, 6) + 0.1


def test_each_change_falls_on_the_share_of_images_that_its_probability_says():
    for probability in (0.0, 0.3, 1.0):
        changed = (Augmentation(probability, [brighten])(X, 0) != X).flatten(1).any(1)
        assert changed.float().mean().item() == pytest.approx(probability, abs=0.08)


def test_the_probability_follows_a_schedule():
    schedule = Augmentation(["ramp", 0.0, 1.0])
    schedule.probability.plan(10)
    assert torch.equal(schedule(X, 0), X)
    assert not torch.equal(schedule(X, 10), X)


def test_brightness_is_one_number_for_an_image():
    difference = (brighten(X) - X).flatten(1)
    assert torch.allclose(difference, difference[:, :1].expand_as(difference), atol=1e-6)
    assert difference[:, 0].abs().max() <= 0.5


def test_a_shift_moves_whole_images_and_fills_with_0():
    found = shift(X)
    moved = {}
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            want = torch.zeros_like(X)
            rows, columns = slice(max(down, 0), 8 + min(down, 0)), slice(max(right, 0), 6 + min(right, 0))
            back_rows, back_columns = (
                slice(max(-down, 0), 8 - max(down, 0)),
                slice(max(-right, 0), 6 - max(right, 0)),
            )
            want[:, :, rows, columns] = X[:, :, back_rows, back_columns]
            moved[down, right] = (found == want).flatten(1).all(1)
    assert torch.stack(list(moved.values())).any(0).all()
    assert all(0.05 < of.float().mean() < 0.2 for of in moved.values())


def test_a_cut_leaves_the_rest_as_it_was():
    found = cut_out(X)
    cut = found == 0
    assert torch.equal(found[~cut], X[~cut])
    assert (cut[:, 0] == cut[:, 1]).all()
    assert 0.05 < cut.float().mean() < 0.3


def test_gradients_pass_and_what_is_no_image_is_refused():
    x = X.clone().requires_grad_()
    Augmentation(1.0)(x, 0).sum().backward()
    assert x.grad.abs().sum() > 0
    with pytest.raises(ConfigurationError, match="augmentation=none"):
        Augmentation()(torch.rand(3, 4), 0)
