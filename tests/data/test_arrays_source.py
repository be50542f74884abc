from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aelab.core.errors import ConfigurationError, DataError
from aelab.data.kinds import Pixels
from aelab.data.sources import arrays
from aelab.data.sources.arrays import Vectors


@pytest.fixture
def write(tmp_path):
    def save(**arrays):
        path = tmp_path / "mine.npz"
        np.savez_compressed(path, **arrays)
        return path

    return save


def Arrays(path, bounds=None, shape=None):  # noqa: N802
    """The source, of the shape that the file has unless another is given."""
    if shape is None:
        with suppress(Exception):
            found = np.load(path)["x_train"].shape[1:]
            shape = (1, *found) if len(found) == 2 else found
    return arrays.Arrays(path, shape or (1, 1, 1), Pixels(bounds))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)


@pytest.mark.parametrize(
    ("scale", "bounds"), [(1, (0, 255)), (1 / 255, (0, 1)), (2 / 255, (0, 2)), (257, (0, 65535))]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_range_gives_the_same_pixels(write, pixels, scale, bounds, dtype):
    x = (pixels.astype(float) * scale).astype(dtype).clip(*bounds)
    splits = Arrays(write(x_train=x, x_test=x[:2]), bounds).load()
    np.testing.assert_array_equal(splits.train.x.squeeze(1), pixels)
    assert splits.train.x.dtype == torch.uint8
    assert splits.train.y is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16])
def test_grey_levels_stay_what_they_are_in_any_type(write, dtype):
    x = np.arange(256).astype(dtype).reshape(4, 8, 8)
    found = Arrays(write(x_train=x, x_test=x)).load().test.x
    assert found.flatten().tolist() == list(range(256))


def test_a_symmetric_range_and_booleans(write):
    x = np.array([[[-1.0, 0.0, 1.0]]])
    assert Arrays(write(x_train=x, x_test=x), (-1, 1)).load().train.x.tolist() == [[[[0, 128, 255]]]]
    x = np.array([[[True, False]]])
    assert Arrays(write(x_train=x, x_test=x), (0, 1)).load().train.x.tolist() == [[[[255, 0]]]]


def test_channels_and_labels_are_kept(write, pixels):
    x, y = pixels.reshape(2, 3, 5, 4), np.array([3, 1], np.int32)
    splits = Arrays(write(x_train=x, x_test=x, y_train=y, y_test=y[::-1])).load()
    np.testing.assert_array_equal(splits.train.x, x)
    assert splits.train.y.tolist() == [3, 1]
    assert splits.test.y.tolist() == [1, 3]
    assert splits.train.y.dtype == torch.int64


def test_the_checksums_follow_the_contents(write, pixels):
    first = Arrays(write(x_train=pixels, x_test=pixels)).load().checksums
    pixels[0, 0, 0] ^= 1
    second = Arrays(write(x_train=pixels, x_test=pixels)).load().checksums
    assert set(first) == {"mine.npz/x_train", "mine.npz/x_test"}
    assert all(first[key] != second[key] for key in first)


@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf, -np.inf])
def test_values_outside_the_range_are_refused(write, value):
    x = np.full((3, 2, 2), 0.5)
    x[1, 1, 1] = value
    with pytest.raises(DataError, match=r"mine\.npz: x_test holds .*( says 0 to 1|not finite)"):
        Arrays(write(x_train=np.zeros((3, 2, 2)), x_test=x), (0, 1)).load()


def test_the_found_bounds_are_named(write, pixels):
    with pytest.raises(DataError, match=f"from {pixels.min()} to {pixels.max()}, .* says 0 to 1"):
        Arrays(write(x_train=pixels, x_test=pixels), (0, 1)).load()


@pytest.mark.parametrize(
    "x", [np.zeros((0, 2, 2)), np.zeros((4, 0, 2)), np.zeros((4, 4)), np.zeros((1, 2, 2), complex)]
)
def test_arrays_that_are_no_images_are_refused(write, x):
    with pytest.raises(DataError, match=r"x_train holds"):
        Arrays(write(x_train=x, x_test=x)).load()


@pytest.mark.parametrize("y", [np.zeros(5, int), np.zeros((6, 1), int), np.zeros(6)])
def test_labels_that_do_not_fit_are_refused(write, pixels, y):
    with pytest.raises(DataError, match=r"y_train holds .* for 6 rows of x_train"):
        Arrays(write(x_train=pixels, x_test=pixels, y_train=y, y_test=y)).load()


@pytest.mark.parametrize("keys", [["x_train"], ["x_test", "y_test"], ["x_train", "x_test", "y_test"]])
def test_missing_arrays_are_named(write, pixels, keys):
    with pytest.raises(DataError, match="x_train and x_test are needed"):
        Arrays(write(**dict.fromkeys(keys, pixels))).load()


def test_pickled_objects_are_refused(write):
    x = np.array([[["a", None]]], dtype=object)
    with pytest.raises(DataError, match="plain numeric arrays"):
        Arrays(write(x_train=x, x_test=x)).load()


@pytest.mark.parametrize("bounds", [[1, 0], [0, 0], [0], [0, 1, 2]])
def test_an_impossible_range_is_a_configuration_error(write, pixels, bounds):
    with pytest.raises(ConfigurationError, match=r"data\.kind\.range"):
        Arrays(write(x_train=pixels, x_test=pixels), bounds).prepare()


def test_what_is_no_npz_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    for path in (tmp_path / "a.npy", tmp_path / "none.npz", tmp_path):
        with pytest.raises(DataError, match=r"data\.root must name one"):
            Arrays(path).load()


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_never_changes_pixels_silently(tmp_path_factory, place, bit):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path_factory.mktemp("npz") / "mine.npz"
    np.savez(path, x_train=pixels, x_test=pixels)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    with suppress(DataError):
        np.testing.assert_array_equal(Arrays(path).load().train.x.squeeze(1), pixels)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
def test_vectors_are_kept_in_their_own_units(write, dtype):
    x = np.array([[1, -200, 3e6], [4, 5, 6]]).astype(dtype)
    splits = Vectors(write(x_train=x, x_test=x[:1], y_train=np.arange(2), y_test=np.arange(1))).load()
    assert splits.train.x.dtype == torch.float32
    assert torch.equal(splits.train.x, torch.from_numpy(x).float())
    assert splits.train.y.tolist() == [0, 1]


def test_vectors_that_are_none_are_refused(write, pixels):
    for x, found in (
        (pixels, r"of shape \(6, 5, 4\)"),
        (np.zeros((0, 3)), r"of shape \(0, 3\)"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), "nan in row 1, column 1"),
        (np.array([[1.0, -np.inf]]), "-inf in row 0, column 1"),
        (np.array([["a", "b"]]), "holds <U1"),
    ):
        with pytest.raises(DataError, match=found):
            Vectors(write(x_train=x, x_test=x)).load()
