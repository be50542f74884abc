from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from aelab.config.compose import infer
from aelab.config.construct import construct
from aelab.core.errors import DataError
from aelab.data.sources.idx import Idx

CONF = Path(__file__).parents[2] / "conf"
IDX = ["mnist", "fashion_mnist", "kmnist"]
GREY_VALUES = ("dynamic", "fixed", "grey", "threshold")


@pytest.fixture
def build(tmp_path):
    (tmp_path / "root.yaml").write_text(
        "defaults:\n  - _self_\n  - data: digits\n  - values: null\n"
        f"hydra:\n  searchpath: [file://{CONF}]\nseed: 3\n"
    )

    def module(*overrides):
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            config = compose("root", list(overrides))
            infer(config)
            return construct(config.data, "data")

    return module


def loaders(data):
    return data.train_dataloader(), data.val_dataloader(), data.test_dataloader()


@pytest.mark.parametrize("choice", GREY_VALUES)
def test_digits_make_batches_with_every_binarization(build, choice):
    data = build(f"values={choice}", "data.eval_batch_size=100")
    assert data.seed == 3
    assert [len(loader) for loader in loaders(data)] == [19, 3, 3]
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
        "data.kind.range=[0,1]",
        "data.name=mine",
    )
    data.prepare_data()
    batch = data.test_examples(20)
    assert batch.y is None
    torch.testing.assert_close(
        batch.x.double(), torch.from_numpy(x)[data.drawn("test")], atol=0.5 / 255 + 1e-6, rtol=0
    )
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


def test_real_binarized_mnist_has_the_published_bytes_and_is_drawn_from_mnist(build, real_data):
    data = build("data=mnist_static", f"data.root={real_data('mnist_static')}")
    data.prepare_data()
    data.setup()  # it checks the bytes of the published text files
    train, val, test = (loader.observations.x for loader in loaders(data))
    assert (len(train), len(val), len(test)) == (50_000, 10_000, 10_000)
    assert data.val_examples(10_000).x.unique().tolist() == [0, 1]
    assert not data.has_labels
    mnist = build("data=mnist", f"data.root={real_data('mnist')}").source.load()
    # MNIST's training images are these training and validation images: five standard deviations of a mean.
    for drawn, grey in ((torch.cat([train, val]), mnist.train.x), (test, mnist.test.x)):
        difference = drawn.float().mean(0) - grey.float().mean(0)
        assert difference.abs().max() / 255 < 5 * 0.5 / len(drawn) ** 0.5


@pytest.fixture
def some_cifar(real_data, tmp_path, monkeypatch):
    """A folder with the first rows of the real files, and those rows."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    rows = {}
    for split in ("train", "test"):
        file = parquet.ParquetFile(real_data("cifar10_jpeg") / "cifar10_jpeg" / f"{split}.parquet")
        first = next(file.iter_batches(200))
        rows[split] = first.to_pylist()
        parquet.write_table(type(file.read_row_group(0)).from_batches([first]), tmp_path / f"{split}.parquet")
    return tmp_path, rows


def test_real_cifar10_is_decoded_as_pillow_decodes_it(build, some_cifar):
    root, rows = some_cifar
    data = build("data=cifar10", f"data.root={root}", "data.validation=50")
    data.prepare_data()
    splits = data.source.load()
    for images, split in ((splits.train, "train"), (splits.test, "test")):
        pixels = images.at(slice(None)).x.permute(0, 2, 3, 1)
        expected = [np.asarray(Image.open(BytesIO(row["img"]["bytes"]))) for row in rows[split]]
        np.testing.assert_array_equal(pixels, np.stack(expected))
        assert images.y.tolist() == [row["label"] for row in rows[split]]
    assert data.val_examples(99).x.shape == (50, 3, 32, 32)


@pytest.mark.slow
def test_real_cifar10_is_whole(build, real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("AELAB_DATA", str(tmp_path))
    splits = build("data=cifar10", f"data.root={real_data('cifar10_jpeg')}/cifar10_jpeg").source.load()
    assert torch.bincount(splits.train.y).tolist() == [5000] * 10
    assert torch.bincount(splits.test.y).tolist() == [1000] * 10
    # The published means of the training pixels' channels.
    mean = splits.train.at(slice(None)).x.double().mean((0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]).double(), atol=5e-4, rtol=0)


@pytest.mark.parametrize("name", ["cifar10", "parquet", "folder"])
def test_a_root_is_asked_for_where_nothing_can_be_downloaded(build, name):
    data = build(f"data={name}", "data.shape=[3,8,8]")
    with pytest.raises(DataError, match=rf"data\.root=None of {name} must name a folder"):
        data.prepare_data()


def save_pictures(root, count):
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for place in range(count):
            path = root / split / str(place % 2) / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (9, 12, 3), np.uint8)).save(path)


def test_a_folder_of_ones_own(build, tmp_path, monkeypatch):
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    save_pictures(tmp_path, 20)
    data = build("data=folder", f"data.root={tmp_path}", "data.shape=[1,8,8]", "data.classes=2")
    data.prepare_data()
    batch = data.val_examples(99)
    assert batch.x.shape == (2, 1, 8, 8)
    assert (len(data.source.load().train), sorted(data.test_examples(99).y.tolist())) == (
        20,
        [0] * 10 + [1] * 10,
    )


def test_dsprites_have_their_factors(build):
    data = build("data=dsprites", "data.source.count=500")
    data.prepare_data()
    batch = next(iter(data.train_dataloader()))
    assert batch.x.shape == (128, 1, 64, 64)
    assert batch.attributes.shape == (128, 5)
    assert torch.equal(batch.attributes[:, 0] * 2, batch.y.float())
    assert set(batch.x.unique().tolist()) == {0, 1}


def test_images_on_disk_train_a_model_with_pictures(train, tmp_path, monkeypatch):
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    save_pictures(tmp_path / "mine", 20)
    own = ("data=folder", f"data.root={tmp_path}/mine", "data.shape=[3,8,8]", "data.classes=2")
    run = train(*own, "variant=cvae", "data.batch_size=4")
    assert run.read()["metrics"]["test/mse"] > 0
    assert run.read()["data"]["checksums"].keys() == {"x", "y", "train rows", "test rows"}


def test_attributes_reach_pictures_and_models(train):
    run = train("data=dsprites", "data.source.count=500")
    assert (run.path / "pictures" / "reconstructions.png").is_file()
