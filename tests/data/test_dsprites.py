import numpy as np
import pytest
import torch

from aelab.core.errors import ConfigurationError
from aelab.data.sources.drawn import factors
from aelab.data.sources.dsprites import COUNT, SIZES, DSprites, draw, forms


@pytest.fixture(scope="module")
def drawn():
    return forms()


def place(shape=0, scale=0, orientation=0, x=0, y=0):
    """Where the image of these factors stands in the published order."""
    return int(np.ravel_multi_index((shape, scale, orientation, x, y), SIZES))


def picture(drawn, **chosen):
    return draw(drawn, torch.tensor([place(**chosen)]))[0, 0]


def centroid(image):
    weight = image.double() / image.double().sum()
    steps = torch.arange(64, dtype=torch.double)
    return (weight.sum(0) @ steps).item(), (weight.sum(1) @ steps).item()


def test_the_factors_run_in_the_published_order():
    assert COUNT == 3 * 6 * 40 * 32 * 32
    assert factors(torch.tensor([0, 1, 32, 1024, 40960, 245760, COUNT - 1]), SIZES).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [2, 5, 39, 31, 31],
    ]


@pytest.mark.parametrize("shape", range(3))
def test_each_step_of_x_and_y_moves_the_centroid_by_one_pixel_and_nothing_else(drawn, shape):
    first = picture(drawn, shape=shape, scale=3, orientation=7)
    x, y = centroid(first)
    for dx, dy in ((1, 0), (0, 1), (31, 31), (4, 17)):
        moved = picture(drawn, shape=shape, scale=3, orientation=7, x=dx, y=dy)
        assert centroid(moved) == pytest.approx((x + dx, y + dy), abs=1e-9)
        assert torch.equal(moved, first.roll((dy, dx), (0, 1)))


def test_y_points_down_and_x_to_the_right(drawn):
    assert centroid(picture(drawn))[0] < centroid(picture(drawn, x=31))[0]
    assert picture(drawn, y=31)[:16].sum() == 0


def test_every_shape_stays_whole_at_every_place(drawn):
    edges = [drawn[..., 0, :], drawn[..., -1, :], drawn[..., :, 0], drawn[..., :, -1]]
    assert not any(edge.any() for edge in edges)
    corners = [place(2, 5, o, x, y) for o in range(40) for x in (0, 31) for y in (0, 31)]
    area = draw(drawn, torch.tensor(corners)).sum((1, 2, 3)).view(40, 4)
    assert torch.equal(area, area[:, :1].expand(-1, 4))


@pytest.mark.parametrize("shape", range(3))
def test_the_area_grows_with_the_square_of_the_scale(drawn, shape):
    area = (drawn[shape] > 0).sum((-1, -2)).mean(-1)
    scale = np.linspace(0.5, 1, 6)
    np.testing.assert_allclose(area / scale**2, area[-1], rtol=0.02)


def test_areas_are_those_of_the_outlines(drawn):
    square, ellipse, _ = (drawn[:, -1] > 0).sum((-1, -2)).mean(-1)
    assert square == pytest.approx(21.5**2, rel=0.02)
    assert ellipse == pytest.approx(np.pi * 15.7 * 8.3, rel=0.02)


def test_a_full_turn_is_the_same_picture_and_no_other_turn_is(drawn):
    assert np.array_equal(drawn[:, :, 0], drawn[:, :, 39])
    largest = drawn[:, -1, :39].reshape(3, 39, -1)
    assert all(len(np.unique(turns, axis=0)) == 39 for turns in largest)


def test_turns_are_even_and_all_go_one_way(drawn):
    """The long axis of the ellipse, from second moments, turns by 2 pi / 39 a step."""
    place = np.arange(33) - 16.0
    white = drawn[1, 5] / 255.0
    xx, yy = (white * place**2).sum((1, 2)), (white * place[:, None] ** 2).sum((1, 2))
    xy = (white * place * place[:, None]).sum((1, 2))
    axis = np.unwrap(np.arctan2(2 * xy, xx - yy)) / 2
    np.testing.assert_allclose(axis, np.linspace(0, 2 * np.pi, 40), atol=0.03)


def test_the_square_and_the_ellipse_are_symmetric_about_their_centre_and_the_heart_is_not(drawn):
    turned = drawn[..., ::-1, ::-1]
    assert np.array_equal(drawn[:2], turned[:2])
    upright = drawn[2, 5, 0]
    assert np.array_equal(upright, upright[:, ::-1])
    assert not np.array_equal(upright, upright[::-1])
    assert (upright[:16] > 0).sum() > (upright[17:] > 0).sum()  # its tip points down


def test_images_are_black_and_white_with_their_labels_and_attributes(drawn):
    splits = DSprites(count=1000, test=0.2).load()
    assert (len(splits.train), len(splits.test)) == (800, 200)
    for images in (splits.train, splits.test):
        assert set(images.x.unique().tolist()) == {0, 255}
        assert images.attributes.dtype == torch.float32
        assert (images.attributes[:, 0] * 2).tolist() == images.y.tolist()
        found = (images.attributes * torch.tensor([size - 1.0 for size in SIZES])).round().long()
        index = torch.tensor([place(*row) for row in found.tolist()])
        assert torch.equal(images.x, draw(drawn, index))
        assert images.attributes.min() == 0
        assert images.attributes.max() == 1


def test_no_combination_of_factors_occurs_twice_in_the_splits():
    splits = DSprites(count=5000).load()
    rows = torch.cat([splits.train.attributes, splits.test.attributes])
    assert len(rows.unique(dim=0)) == 5000


def test_the_choice_depends_on_no_global_seed_and_a_smaller_one_is_part_of_a_larger():
    np.random.seed(1)
    torch.manual_seed(1)
    first, again = DSprites(count=100).load(), DSprites(count=100).load()
    assert torch.equal(first.train.x, again.train.x)
    larger = DSprites(count=200, test=10).load()
    assert torch.equal(larger.test.attributes, first.test.attributes)


@pytest.mark.parametrize("count", [0, 1, -1, COUNT + 1])
def test_an_impossible_count_is_refused(count):
    with pytest.raises(ConfigurationError, match=r"data\.source\.count=.* 2 to 737,280"):
        DSprites(count=count).load()


def test_all_images_are_a_view_of_one_memory_map(tmp_path, monkeypatch, drawn):
    """With a world of two places instead of 32, for the whole one takes 3 GB."""
    monkeypatch.setenv("AELAB_DATA", str(tmp_path))
    monkeypatch.setattr("aelab.data.sources.dsprites.SIZES", (3, 6, 40, 2, 2))
    monkeypatch.setattr("aelab.data.sources.dsprites.STEPS", 2)
    monkeypatch.setattr("aelab.data.sources.dsprites.SIDE", 34)
    monkeypatch.setattr("aelab.data.sources.dsprites.COUNT", 2880)
    source = DSprites("tiny", count=None)
    source.prepare()
    (path,) = (tmp_path / "tiny").iterdir()
    splits, chosen = source.load(), DSprites("tiny", count=2880).load()
    assert path.stat().st_size > 2880 * 34 * 34
    assert splits.train.x.data_ptr() == splits.test.x.data_ptr()
    assert splits.train.x.shape == (2880, 1, 34, 34)
    for view, copy in ((splits.train, chosen.train), (splits.test, chosen.test)):
        found = view.at(slice(None))
        assert torch.equal(found.x, copy.x)
        assert torch.equal(found.y, copy.y)
        assert torch.equal(found.attributes, copy.attributes)


def test_images_of_the_same_pixels_on_two_sides_are_counted():
    """Whole turns of a heart, quarter turns of a square and half turns of an ellipse, by all their pixels."""
    splits = DSprites(count=20_000).load()
    train, test = ({row.tobytes() for row in np.packbits(part.x.flatten(1).numpy() > 0, axis=1)}
                   for part in (splits.train, splits.test))  # fmt: skip
    twins = sum(row.tobytes() in train for row in np.packbits(splits.test.x.flatten(1).numpy() > 0, axis=1))
    assert twins > 0
    assert len(test & train) <= twins
    assert splits.notes[0].startswith(f"{twins:,} of 2,000 test images have the very pixels of")
    assert not DSprites(count=50).load().notes
