from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from aelab.data.sources.idx import Idx
from aelab.errors import DataError

CONF = Path(__file__).parents[2] / "conf"
IDX = ["mnist", "fashion_mnist", "kmnist"]
BINARIZATIONS = sorted(path.stem for path in (CONF / "binarization").glob("*.yaml"))


@pytest.fixture
def build(tmp_path):
    (tmp_path / "root.yaml").write_text(
        "defaults:\n  - _self_\n  - data: digits\n  - binarization: grey\n"
        f"hydra:\n  searchpath: [file://{CONF}]\nseed: 3\n"
    )

    def module(*overrides):
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return instantiate(compose("root", list(overrides)).data)

    return module


@pytest.mark.parametrize("binarization", BINARIZATIONS)
def test_digits_make_batches_with_every_binarization(build, binarization):
    data = build(f"binarization={binarization}", "data.eval_batch_size=100")
    assert data.seed == 3
    assert [
        len(loader) for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    ] == [
        19,
        3,
        3,
    ]
    assert data.val_examples(7).x.shape == (7, 1, 8, 8)


@pytest.mark.parametrize("name", IDX)
def test_root_reaches_the_source_of_each_idx_data_set(build, name, tmp_path):
    data = build(f"data={name}", f"data.root={tmp_path}")
    assert isinstance(data.source, Idx)
    assert (data.name, data.source.name, data.source.root) == (name, name, tmp_path)
    with pytest.raises(DataError, match=f"{name}: put train-images-idx3-ubyte.*{tmp_path}"):
        data.prepare_data()


@pytest.mark.parametrize("name", IDX)
def test_every_published_file_has_a_checksum_and_two_mirrors(build, name):
    source = build(f"data={name}").source
    assert set(source.files) == {"train_images", "train_labels", "test_images", "test_labels"}
    known = [file.unpacked or file.packed for file in source.files.values()]
    assert all(len(md5) == 32 for md5 in known)
    assert len(set(known)) == 4
    assert len(source.mirrors) == 2


def test_an_npz_of_ones_own(build, tmp_path):
    x = np.linspace(0, 1, 20 * 12).reshape(20, 3, 2, 2)
    np.savez(tmp_path / "mine.npz", x_train=x, x_test=x)
    data = build(
        "data=npz",
        f"data.root={tmp_path}/mine.npz",
        "data.shape=[3,2,2]",
        "data.source.range=[0,1]",
        "data.name=mine",
    )
    data.prepare_data()
    batch = data.test_examples(20)
    assert batch.y is None
    torch.testing.assert_close(batch.x.double(), torch.from_numpy(x), atol=0.5 / 255 + 1e-6, rtol=0)
    assert len(data.val_examples(99).x) == 2


def test_real_mnist_is_whole(build, mnist_root):
    data = build("data=mnist", f"data.root={mnist_root}")
    data.prepare_data()
    splits = data.source.load()
    assert splits.train.x.shape == (60_000, 1, 28, 28)
    assert splits.test.x.shape == (10_000, 1, 28, 28)
    assert int((splits.train.y == 0).sum()) == 5923
    assert int((splits.test.y == 0).sum()) == 980
    assert splits.checksums["train-images-idx3-ubyte"] == "md5:6bbc9ace898e44ae57da46a324031adb"
    # The published mean and standard deviation of the training pixels.
    pixels = splits.train.x.double() / 255
    assert round(pixels.mean().item(), 4) == 0.1307
    assert round(pixels.std().item(), 4) == 0.3081
