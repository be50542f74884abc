import gzip
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aelab.core.errors import DataError
from aelab.data.sources.idx_format import parse, unpack

ARRAYS = hnp.arrays(
    st.sampled_from([np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64]),
    hnp.array_shapes(max_dims=4, max_side=5),
)
CONTENT = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(6))


def test_the_layout_is_the_published_one():
    assert parse(CONTENT, "f").tolist() == [[0, 1, 2], [3, 4, 5]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=ARRAYS)
def test_round_trip_of_any_array(to_idx, array):
    found = parse(unpack(gzip.compress(to_idx(array)), "f"), "f")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@given(st.integers(0, len(CONTENT) - 1))
def test_every_truncation_is_an_error(length):
    with pytest.raises(DataError, match="some/file"):
        parse(CONTENT[:length], "some/file")


@given(st.binary(max_size=8))
def test_arbitrary_bytes_are_an_array_of_that_length_or_an_error(content):
    with suppress(DataError):
        array = parse(bytes([0, 0, 8, 1, 0, 0, 0]) + content, "f")
        assert array.tolist() == list(content[1:])


def test_a_huge_header_is_refused_without_allocating():
    with pytest.raises(DataError, match="declares the shape"):
        parse(bytes([0, 0, 8, 3]) + b"\xff" * 12, "f")


def test_an_array_without_values_is_refused():
    with pytest.raises(DataError, match="at least one value"):
        parse(bytes([0, 0, 8, 1, 0, 0, 0, 0]), "f")


@given(st.integers(2, 60), st.integers(0, 7))
def test_damaged_gzip_is_an_error_or_the_same_bytes(place, bit):
    packed = bytearray(gzip.compress(CONTENT * 20, mtime=0))
    place = min(place, len(packed) - 1)
    packed[place] ^= 1 << bit
    with suppress(DataError):
        assert unpack(bytes(packed), "f") == CONTENT * 20  # the header's time and name change no contents


def test_truncated_gzip_is_an_error():
    with pytest.raises(DataError, match="f: damaged gzip"):
        unpack(gzip.compress(CONTENT)[:-3], "f")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("below", ["", "tiny"])
def test_plain_and_gzip_files_load_alike_from_root_and_from_the_folder_named(
    published, tmp_path, suffix, below
):
    published.write(tmp_path / below, suffix)
    source = published.source(tmp_path)
    source.prepare()
    splits = source.load()
    for images, split in ((splits.train, "train"), (splits.test, "test")):
        np.testing.assert_array_equal(images.x.squeeze(1), published.arrays[f"{split}_images"])
        np.testing.assert_array_equal(images.y, published.arrays[f"{split}_labels"])
        assert images.x.dtype == torch.uint8
        assert images.y.dtype == torch.int64
    known = {role: f"md5:{file.unpacked}" for role, file in published.files().items()}
    assert splits.checksums == known


@pytest.mark.parametrize("known", ["unpacked", "packed"])
def test_a_flipped_pixel_is_a_wrong_checksum(published, tmp_path, known):
    published.write(tmp_path)
    published.arrays["test_images"][0, 0, 0] ^= 1
    found = published.packed("test_images")
    (tmp_path / "test_images.gz").write_bytes(found)
    published.arrays["test_images"][0, 0, 0] ^= 1
    with pytest.raises(DataError, match=r"test_images\.gz: wrong checksum, expected md5:.* found md5:"):
        published.source(tmp_path, known=known).load()


def test_missing_files_are_named_with_their_place(published, tmp_path):
    published.write(tmp_path)
    (tmp_path / "train_labels.gz").unlink()
    for step in (published.source(tmp_path).prepare, published.source(tmp_path).load):
        with pytest.raises(DataError, match=f"train_labels.*{tmp_path}"):
            step()


def test_labels_must_be_as_many_as_images(published, tmp_path):
    published.arrays["train_labels"] = published.arrays["train_labels"][:-1]
    published.write(tmp_path)
    with pytest.raises(DataError, match=r"train files hold uint8 images \(40, 4, 3\) and labels \(39,\)"):
        published.source(tmp_path).load()
