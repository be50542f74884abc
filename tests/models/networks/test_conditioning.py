import pytest
import torch

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Sizes
from aelab.models.conditions import QUADRANTS, Attributes, OneHot, VisibleQuadrants
from aelab.models.distributions import Bernoulli


def test_one_hot_is_a_row_of_the_identity():
    y = torch.tensor([2, 0, 2, 1])
    conditioner = OneHot(Sizes(classes=3))
    assert torch.equal(conditioner(Batch(torch.rand(4, 1, 2, 2), y)), torch.eye(3)[y])
    assert conditioner.features == 3


@pytest.mark.parametrize("classes", [None, 0])
def test_data_without_classes_are_refused(classes):
    with pytest.raises(ConfigurationError, match="condition=none"):
        OneHot(Sizes(classes=classes))


def test_a_batch_without_labels_is_refused():
    with pytest.raises(ConfigurationError, match="label"):
        OneHot(Sizes(classes=3))(Batch(torch.rand(4, 1, 2, 2)))


def test_attributes_are_passed_as_they_are():
    attributes = torch.rand(4, 3, dtype=torch.float64)
    conditioner = Attributes(Sizes(attributes=3))
    c = conditioner(Batch(torch.rand(4, 1, 2, 2), attributes=attributes))
    assert torch.equal(c, attributes.float())
    assert conditioner.features == 3
    likelihood = Bernoulli(torch.zeros(4, 1, 2, 2), 3)
    assert conditioner.reveal(likelihood, torch.rand(4, 1, 2, 2)) is likelihood


def test_attributes_that_are_missing_are_refused():
    for missing in (None, 0):
        with pytest.raises(ConfigurationError, match="condition=none"):
            Attributes(Sizes(attributes=missing))
    with pytest.raises(ConfigurationError, match="attributes"):
        Attributes(Sizes(attributes=3))(Batch(torch.rand(4, 1, 2, 2)))


PLACES = {
    "top_left": lambda i, j, h, w: i < h // 2 and j < w // 2,
    "top_right": lambda i, j, h, w: i < h // 2 and j >= w // 2,
    "bottom_left": lambda i, j, h, w: i >= h // 2 and j < w // 2,
    "bottom_right": lambda i, j, h, w: i >= h // 2 and j >= w // 2,
}


@pytest.mark.parametrize("size", [(2, 2), (5, 4), (7, 3)])
@pytest.mark.parametrize("visible", [("top_left",), ("top_right", "bottom_left"), tuple(QUADRANTS[1:])])
def test_the_hidden_pixels_are_those_of_no_visible_quadrant(visible, size):
    hidden = VisibleQuadrants(Sizes((3, *size)), visible, (8,)).hidden
    for i in range(size[0]):
        for j in range(size[1]):
            shown = any(PLACES[name](i, j, *size) for name in visible)
            assert hidden[0, i, j] == (not shown)


def test_the_context_of_an_image_depends_on_all_visible_pixels_and_on_no_other():
    conditioner = VisibleQuadrants(Sizes((2, 4, 4)), ("top_right",), (16, 5))
    x = torch.rand(6, 2, 4, 4, requires_grad=True)
    c = conditioner(Batch(x))
    assert (c.shape, conditioner.features) == ((6, 5), 5)
    (slope,) = torch.autograd.grad(c.sum(), x)
    seen = (slope != 0).any(0)
    assert torch.equal(seen, (conditioner.hidden == 0).expand(2, 4, 4))


def test_the_revealed_likelihood_is_that_of_the_hidden_pixels():
    conditioner = VisibleQuadrants(Sizes((1, 4, 4)), ("top_left", "top_right"), (8,))
    x, p = torch.rand(6, 1, 4, 4), Bernoulli(torch.randn(2, 6, 1, 4, 4), 3)
    revealed = conditioner.reveal(p, x)
    assert torch.allclose(revealed.log_prob(x), p.each(x)[..., 2:, :].sum((-1, -2, -3)))
    assert torch.equal(revealed.mean[..., :2, :], x[..., :2, :].expand(2, 6, 1, 2, 4))
    assert torch.equal(revealed.mean[..., 2:, :], p.mean[..., 2:, :])


@pytest.mark.parametrize("visible", [(), QUADRANTS, ("centre",), ("top_left", "middle")])
def test_quadrants_that_are_none_all_or_unknown_are_refused(visible):
    with pytest.raises(ConfigurationError, match="visible"):
        VisibleQuadrants(Sizes((1, 4, 4)), visible)


@pytest.mark.parametrize(("shape", "widths"), [((4,), (8,)), ((1, 1, 4), (8,)), ((1, 4, 4), ())])
def test_images_without_quadrants_are_refused(shape, widths):
    with pytest.raises(ConfigurationError, match="condition=image"):
        VisibleQuadrants(Sizes(shape), widths=widths)
