import gzip
import hashlib

import numpy as np
import pytest
import torch

from aelab.core.errors import DataError
from aelab.data.sources.binarized_mnist import BinarizedMnist
from aelab.data.sources.published import PublishedFile

SPLITS = {"train": 5, "valid": 3, "test": 2}


@pytest.fixture
def arrays():
    draw = np.random.default_rng(0)
    return {split: draw.integers(0, 2, (count, 784), np.uint8) for split, count in SPLITS.items()}


def amat(array):
    """The published form, written after its description: np.loadtxt reads it."""
    return "".join(" ".join(map(str, row)) + "\n" for row in array.tolist()).encode()


def source(arrays, root):
    files = {
        split: PublishedFile(f"{split}.amat", hashlib.md5(amat(array)).hexdigest(), suffix="")
        for split, array in arrays.items()
    }
    return BinarizedMnist("tiny", files, ["http://127.0.0.1:9/"], root)


def write(arrays, folder, packed):
    for split, array in arrays.items():
        path = folder / f"{split}.amat{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(amat(array)) if packed else amat(array))


@pytest.mark.parametrize("form", ["plain", "packed", "npz"])
def test_every_form_gives_the_same_splits_and_checksums(arrays, tmp_path, form):
    if form == "npz":
        np.savez(tmp_path / "binarized_mnist.npz", **arrays)
    else:
        write(arrays, tmp_path, form == "packed")
    read = source(arrays, tmp_path)
    read.prepare()
    splits = read.load()
    for split, images in (("train", splits.train), ("valid", splits.validation), ("test", splits.test)):
        np.testing.assert_array_equal(images.x.reshape(-1, 784), arrays[split] * 255)
        assert images.x.shape == (SPLITS[split], 1, 28, 28)
        assert images.y is None
    assert splits.checksums == {
        f"{split}.amat": f"md5:{hashlib.md5(amat(array)).hexdigest()}" for split, array in arrays.items()
    }


@pytest.mark.parametrize("form", ["plain", "npz"])
def test_a_flipped_pixel_is_a_wrong_checksum(arrays, tmp_path, form):
    read = source(arrays, tmp_path)
    arrays["valid"][1, 400] ^= 1
    if form == "npz":
        np.savez(tmp_path / "binarized_mnist.npz", **arrays)
    else:
        write(arrays, tmp_path, packed=False)
    with pytest.raises(DataError, match=f"{tmp_path}/.*valid.*: wrong checksum"):
        read.load()


@pytest.mark.parametrize("content", [b"", b"0 1\n", b"0 1 " * 392, b"0 2 " * 391 + b"0 2\n"])
def test_a_text_that_is_not_as_published_is_refused(arrays, tmp_path, content):
    write(arrays, tmp_path, packed=False)
    (tmp_path / "test.amat").write_bytes(content)
    read = source(arrays, tmp_path)
    read.files["test"] = PublishedFile("test.amat")
    with pytest.raises(DataError, match=r"test\.amat: .*784 digits 0 or 1"):
        read.load()


@pytest.mark.parametrize("broken", [np.zeros((2, 783), np.uint8), np.full((2, 784), 2), np.zeros(784)])
def test_arrays_that_are_not_as_published_are_refused(arrays, tmp_path, broken):
    np.savez(tmp_path / "binarized_mnist.npz", **{**arrays, "test": broken})
    with pytest.raises(DataError, match=r"binarized_mnist\.npz: test holds .* zeros and ones"):
        source(arrays, tmp_path).load()


def test_a_missing_or_pickled_array_is_named(arrays, tmp_path):
    for test in ({}, {"test": np.array([None])}):
        np.savez(tmp_path / "binarized_mnist.npz", train=arrays["train"], valid=arrays["valid"], **test)
        with pytest.raises(DataError, match=r"binarized_mnist\.npz: test cannot be read"):
            source(arrays, tmp_path).load()


def test_missing_files_are_named_with_what_would_do_instead(arrays, tmp_path):
    with pytest.raises(
        DataError, match=f"put train.amat, valid.amat, test.amat.* or binarized_mnist.npz, into {tmp_path}"
    ):
        source(arrays, tmp_path).prepare()


def test_what_is_missing_is_downloaded_under_its_own_name(arrays, tmp_path, monkeypatch, serve):
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "mirror").mkdir()
    write(arrays, tmp_path / "mirror", packed=False)
    read = source(arrays, None)
    read.mirrors = (serve(tmp_path / "mirror"),)
    read.prepare()
    assert sorted(p.name for p in (tmp_path / "cache" / "tiny").iterdir()) == [
        "test.amat", "train.amat", "valid.amat",
    ]  # fmt: skip
    assert torch.equal(read.load().test.x.flatten(1), torch.from_numpy(arrays["test"] * 255))
