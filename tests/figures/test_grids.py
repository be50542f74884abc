import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.core.errors import ConfigurationError
from aelab.figures.grids import folded, grid

few = settings(max_examples=20, deadline=None)
sides = st.integers(1, 70)


def noise(count, channels=1, height=8, width=8):
    """Images without a white pixel, so that they differ from the paper."""
    levels = torch.randint(
        0, 250, (count, channels, height, width), generator=torch.Generator().manual_seed(0)
    )
    return levels / 255


def pixels(picture):
    return np.asarray(picture).astype(int)


def shown(image):
    """The image as (H, W, 3) levels of grey or colour."""
    levels = (image.clamp(0, 1) * 255).round().int().expand(3, -1, -1)
    return levels.movedim(0, -1).numpy()


def place(picture, image, factor=7):
    """The one corner at which the picture shows the image, each of its pixels as a square of `factor`."""
    canvas = pixels(picture)
    large = shown(image).repeat(factor, 0).repeat(factor, 1)
    height, width = large.shape[:2]
    corners = [(int(top), int(left)) for top, left in np.argwhere((canvas == large[0, 0]).all(-1))]
    found = [(y, x) for y, x in corners if np.array_equal(canvas[y : y + height, x : x + width], large)]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_shown_whole_in_its_row_and_column(channels):
    images = noise(6, channels)
    picture = grid([images[:3], images[3:]], ["a rather long caption of the first row", "b"])
    places = [[place(picture, image) for image in row] for row in (images[:3], images[3:])]
    tops, lefts = ([[corner[axis] for corner in row] for row in places] for axis in (0, 1))
    assert tops[0] == [tops[0][0]] * 3
    assert tops[1] == [tops[1][0]] * 3
    assert tops[0][0] + 56 < tops[1][0]
    assert lefts[0] == lefts[1]
    assert min(np.diff(lefts[0])) > 56


@few
@given(height=sides, width=sides)
def test_an_image_is_enlarged_by_the_least_whole_factor_that_makes_it_large_enough(height, width):
    one, two = (grid([noise(n, 1, height, width)], [""]).size for n in (1, 2))
    gap = grid([noise(1)] * 2, ["", ""]).size[1] - grid([noise(1)], [""]).size[1] - 56
    factor, rest = divmod(two[0] - one[0] - gap, width)
    assert rest == 0
    longer = max(height, width)
    assert factor * longer >= 56
    assert factor == 1 or (factor - 1) * longer < 56
    assert one[1] == two[1] == factor * height + 2 * gap


@few
@given(st.integers(1, 5), st.integers(1, 6))
def test_rows_and_columns_add_up(rows, columns):
    width, height = grid([noise(columns)] * rows, ["caption"] * rows).size
    one = grid([noise(1)], ["caption"]).size
    taller, wider = grid([noise(1)] * 2, ["caption"] * 2).size[1], grid([noise(2)], ["caption"]).size[0]
    assert height == one[1] + (rows - 1) * (taller - one[1])
    assert width == one[0] + (columns - 1) * (wider - one[0])


def test_captions_stand_left_of_the_images_beside_their_own_row():
    images = noise(3)
    for row in range(3):
        captions = ["", "", ""]
        captions[row] = "reconstruction"
        picture = grid(list(images[:, None]), captions)
        corners = [place(picture, image) for image in images]
        left = corners[0][1]
        ink = np.argwhere((pixels(picture)[:, :left] < 255).any(-1))
        assert len(ink) > 50
        assert corners[row][0] <= ink[:, 0].min()
        assert ink[:, 0].max() < corners[row][0] + 56
        assert ink[:, 1].min() > 0


def test_values_outside_the_unit_interval_are_clipped():
    image = torch.tensor([[-3.0, 0.0], [1.0, 7.0]])[None, None]
    clipped = grid([image], ["x"])
    assert pixels(clipped).tolist() == pixels(grid([image.clamp(0, 1)], ["x"])).tolist()
    black = (pixels(clipped) == 0).all(-1)
    assert black.sum() == 2 * 28 * 28


def test_grey_is_shown_as_equal_colours():
    grey = noise(2)
    assert pixels(grid([grey], ["x"])).tolist() == pixels(grid([grey.expand(-1, 3, -1, -1)], ["x"])).tolist()


def test_rows_of_different_lengths_may_share_a_picture():
    images = noise(4)
    picture = grid([images[:1], images[1:]], ["a", "b"])
    assert place(picture, images[0])[1] == place(picture, images[1])[1]


def test_as_many_captions_as_rows():
    with pytest.raises(ValueError, match="zip"):
        grid([noise(1)], ["a", "b"])


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 9])
def test_bands_fold_long_rows_and_repeat_their_captions(columns):
    targets, outputs = noise(5), noise(10)[5:]
    parts = []
    for start in range(0, 5, columns):
        parts += [targets[start : start + columns], outputs[start : start + columns]]
    expected = grid(parts, ["x", "mean"] * (len(parts) // 2))
    assert (
        pixels(grid(*folded([targets, outputs], ["x", "mean"], columns))).tolist()
        == pixels(expected).tolist()
    )


def test_pictures_leave_their_tensors_alone():
    image = torch.full((1, 1, 2, 2), 1.5, dtype=torch.float16)
    grid([image], ["x"])
    assert (image == 1.5).all()


def test_images_that_no_picture_can_show_are_refused():
    with pytest.raises(ConfigurationError, match="images of 2 channels cannot be shown"):
        grid([noise(3, channels=2)], [""])
