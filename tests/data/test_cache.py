import os

import numpy as np
import pytest
import torch

from aelab.core.errors import DataError
from aelab.data.sources.cache import fingerprint, memory_map
from aelab.data.splits import checksum

SHAPE = (6, 1, 2, 3)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mine"


def never():
    raise AssertionError("made a second time")


def test_pixels_are_made_once_and_checked(cache, pixels):
    first, digest = memory_map("mine", "key", SHAPE, lambda: pixels)
    again, same = memory_map("mine", "key", SHAPE, never)
    assert torch.equal(first, torch.from_numpy(pixels))
    assert torch.equal(again, first)
    assert digest == same == checksum(pixels.tobytes())
    assert os.listdir(cache) == ["key.npy"]  # noqa: PTH208


def test_what_is_written_to_the_tensor_never_reaches_the_file(cache, pixels):
    memory_map("mine", "key", SHAPE, lambda: pixels)[0].zero_()
    assert torch.equal(memory_map("mine", "key", SHAPE, never)[0], torch.from_numpy(pixels))


def test_the_tensor_is_the_file_and_no_copy(cache, pixels):
    tensor, _ = memory_map("mine", "key", SHAPE, lambda: pixels)
    path = cache / "key.npy"
    content = bytearray(path.read_bytes())
    start = content.index(pixels.tobytes())
    with path.open("r+b") as file:  # what another process would write to it
        file.seek(start)
        file.write(bytes([pixels[0, 0, 0, 0] ^ 255]))
    assert tensor[0, 0, 0, 0] == pixels[0, 0, 0, 0] ^ 255


@pytest.mark.parametrize("length", [0, 10, 128, 150, -33, -32, -1])
def test_half_a_file_is_made_afresh(cache, pixels, length):
    memory_map("mine", "key", SHAPE, lambda: pixels)
    whole = (cache / "key.npy").read_bytes()
    (cache / "key.npy").write_bytes(whole[:length])
    tensor, _ = memory_map("mine", "key", SHAPE, lambda: pixels)
    assert torch.equal(tensor, torch.from_numpy(pixels))
    assert (cache / "key.npy").read_bytes() == whole


def test_nothing_is_left_of_an_attempt_that_fails(cache, pixels):
    def broken():
        yield pixels[0]
        raise DataError("a picture is damaged")

    with pytest.raises(DataError, match="damaged"):
        memory_map("mine", "key", SHAPE, broken)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path, pixels, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match=f"{tmp_path}/file/mine/key.npy: cannot be written .* AELAB_DATA"):
        memory_map("mine", "key", SHAPE, lambda: pixels)


def test_the_fingerprint_follows_names_sizes_times_and_the_rest(tmp_path):
    def found(*rest):
        return fingerprint(sorted(tmp_path.iterdir()), tmp_path, *rest)

    file = tmp_path / os.fsdecode(b"\xff\n")
    file.write_bytes(b"1")
    os.utime(file, ns=(1, 1))
    keys = [found(1), found(2)]
    assert found(1) == keys[0]
    os.utime(file, ns=(1, 2))
    keys.append(found(1))
    file.write_bytes(b"22")
    os.utime(file, ns=(1, 2))
    keys.append(found(1))
    file.rename(tmp_path / "other")
    keys.append(found(1))
    assert len(set(keys)) == len(keys)
