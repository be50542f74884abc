"""What the sliders and buttons of the page ask of a model, on models whose answers are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from known import SHAPE, Pixels, Shown, subject
from omegaconf import OmegaConf
from PIL import Image

from aelab.cli.explorer.explorer import Choice, Explorer
from aelab.core.errors import DataError, InapplicableError
from aelab.core.records import Sizes
from aelab.figures.grids import GAP
from aelab.models.conditions import OneHot, VisibleQuadrants
from aelab.runs.folder import Run, RunFolder
from aelab.runs.trained import Trained


def explorer_of(known):
    run = Run(RunFolder(Path()), OmegaConf.create({"name": known.name}), "")
    data = known.data
    return Explorer(known, Trained(known.model, run, SHAPE, data.kind, data.values, known.device))


def image(explorer, place):
    """A test image by its place in the split, which is not the order in which images are drawn."""
    order = explorer.subject.data.drawn("test").tolist()
    return explorer.subject.expected("test")[torch.tensor([order.index(place)])]


def test_a_code_is_decoded_to_the_image_it_came_from():
    explorer = explorer_of(subject())
    for place in (0, 7):
        choice = Choice(place)
        shown = explorer.decoded(explorer.code(choice)[None], choice)
        torch.testing.assert_close(shown, image(explorer, place))


def test_an_upload_stands_in_for_a_test_image(tmp_path):
    explorer = explorer_of(subject())
    pixels = np.array([[0, 51], [102, 255]], np.uint8)
    path = tmp_path / "mine.png"
    Image.fromarray(pixels).save(path)
    code = explorer.code(Choice(3, upload=str(path)))
    assert code.numpy() == pytest.approx(pixels.ravel() / 255)
    path.write_text("no picture")
    with pytest.raises(DataError, match=r"the uploaded file cannot be used: .* cannot be decoded"):
        explorer.code(Choice(3, upload=str(path)))


def test_sliders_are_ordered_by_what_their_dimension_tells():
    explorer = explorer_of(subject())
    rates = 0.5 * (np.square(explorer.codes).mean(0) + np.exp(-4) - 1 + 4)
    assert explorer.subject.dimensions.told == pytest.approx(rates, rel=1e-5)
    assert explorer.sliders[:3] == list(np.argsort(-rates)[:3])
    assert explorer.subject.dimensions.unit == "nats"
    low, high = explorer.reach(2)
    assert (low + high) / 2 == pytest.approx(explorer.codes[:, 2].mean(), abs=0.01)
    assert high - low == pytest.approx(6 * explorer.codes[:, 2].std(), abs=0.02)
    plain = explorer_of(subject(prior=False))
    assert plain.subject.dimensions.told == pytest.approx(plain.codes.var(0))
    assert plain.subject.dimensions.unit == "of variance"
    low, high = explorer_of(subject(Pixels(constant=True))).reach(0)
    assert high > low


def cells(picture, count):
    """The middle of the top left pixel of each image in a row."""
    grey = np.asarray(picture.convert("L")).astype(int)
    size = grey.shape[0] - 2 * GAP
    left = grey.shape[1] - count * (size + GAP)
    return np.array([grey[GAP + size // 4, left + i * (size + GAP) + size // 4] for i in range(count)]) / 255


def test_a_way_between_two_images_begins_and_ends_with_them():
    explorer = explorer_of(subject())
    x = torch.cat([image(explorer, 0), image(explorer, 1)])[:, 0, 0, 0].numpy()
    for on_the_arc in (False, True):
        shown = cells(explorer.interpolation(Choice(0), Choice(1), 5, on_the_arc), 5)
        assert shown[[0, -1]] == pytest.approx(x, abs=0.01)
    assert cells(explorer.interpolation(Choice(0), Choice(1), 5, False), 5)[2] == pytest.approx(
        x.mean(), abs=0.01
    )


def test_a_label_is_told_in_the_place_of_the_image_s_own():
    explorer = explorer_of(subject(decoder=Shown(told=True), conditioner=OneHot(Sizes(classes=4))))
    for label in range(4):
        shown = explorer.decoded(torch.zeros(1, 4), Choice(0, label=label))
        assert int(shown.flatten().argmax()) == label


def test_samples_follow_the_seed_and_need_a_prior():
    explorer = explorer_of(subject())
    first, again, other = (explorer.samples(16, Choice(), seed) for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    with pytest.raises(InapplicableError, match="no prior"):
        explorer_of(subject(prior=False)).samples(16, Choice(), 0)
    assert explorer.chosen(Choice(2)).shape == (1, *SHAPE)


def test_a_model_that_is_shown_a_part_of_the_image_keeps_it():
    explorer = explorer_of(subject(conditioner=VisibleQuadrants(Sizes(SHAPE))))
    for place in (0, 3):
        x = explorer.trained.seen(explorer.chosen(Choice(place)))
        shown = explorer.decoded(torch.zeros(2, 4), Choice(place))
        assert torch.equal(shown[:, :, 1, 0], x[:, :, 1, 0].expand(2, -1))
        assert not shown[:, :, 0].any()
        grey = cells(explorer.interpolation(Choice(place), Choice(1), 3, False), 3)
        assert grey[0] == pytest.approx(float(x[0, 0, 0, 0]), abs=0.01)
    assert explorer.samples(3, Choice(), 0).tobytes() != explorer.samples(3, Choice(3), 0).tobytes()
