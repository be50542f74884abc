"""What is inferred of a user's files, said, and used; and every advice, followed."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

import aelab
from aelab.cli.sample import main as sample
from aelab.config.compose import compose
from aelab.core.errors import AelabError
from aelab.runs.build import build

DRAW = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("AELAB_DATA", str(tmp_path_factory.getbasetemp() / "survey"))


def save(path, size=(8, 8), channels=3, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = DRAW.integers(0, 256, (*size, channels), np.uint8)
    if dtype != np.uint8:
        Image.fromarray(pixels[:, :, 0].astype(dtype) * 3).save(path)
    else:
        Image.fromarray(pixels if channels == 3 else pixels[:, :, 0]).save(path)


def own(root, *overrides, data="folder"):
    return compose([f"data={data}", f"data.root={root}", *overrides])


def pictures(root, *splits, classes=("2", "10"), count=6, **options):
    for split in splits:
        for name in classes:
            for place in range(count):
                save(root / split / name / f"{place}.png", **options)
    return root


@pytest.mark.parametrize(
    ("splits", "validation", "test"),
    [
        (("train", "val", "test"), None, None),
        (("train", "test"), 0.1, None),
        (("train", "val"), None, 0.1),
        (("train",), 0.1, 0.1),
        (("",), 0.1, 0.1),
    ],
)
def test_a_folder_needs_nothing_else(tmp_path, splits, validation, test):
    config = own(pictures(tmp_path, *splits))
    assert config.data.shape == config.model.shape == [3, 8, 8]
    assert (config.data.classes, config.data.class_names) == (2, ["2", "10"])
    assert (config.data.validation, config.data.source.test) == (validation, test)
    data = build(config).data
    assert sum(data.counts.values()) == 12 * len(splits)
    assert data.class_counts == {"2": 6 * len(splits), "10": 6 * len(splits)}


@pytest.mark.parametrize(
    ("size", "channels", "shape"),
    [((8, 9), 1, [1, 8, 9]), ((200, 90), 3, [3, 64, 64]), ((64, 64), 3, [3, 64, 64])],
)
def test_shape_and_colour_are_those_of_the_pictures(tmp_path, size, channels, shape):
    assert own(pictures(tmp_path, "train", count=2, size=size, channels=channels)).data.shape == shape


def test_what_is_given_is_not_inferred(tmp_path):
    root = pictures(tmp_path, "train", "test")
    config = own(root, "data.shape=[1,16,16]", "data.validation=2", "data.class_names=[a,b]")
    assert (config.data.shape, config.data.validation, config.data.class_names) == (
        [1, 16, 16],
        2,
        ["a", "b"],
    )
    with pytest.raises(AelabError, match=r"data\.classes=2 would work"):
        own(root, "data.classes=3")
    assert own(root, "data.folds=3").data.validation is None


@pytest.mark.parametrize("moved", [False, True])
def test_an_npz_file_needs_nothing_else(tmp_path, moved):
    x = DRAW.integers(0, 256, (12, 3, 8, 9), np.uint8)
    y = np.arange(12) % 3
    stored = np.moveaxis(x, 1, -1) if moved else x
    np.savez(
        tmp_path / "a.npz",
        x_train=stored,
        x_val=stored[:4],
        x_test=stored[:3],
        y_train=y,
        y_val=y[:4],
        y_test=y[:3],
    )
    data = build(own(tmp_path / "a.npz", data="npz")).data
    assert (data.shape, data.classes, data.counts) == ((3, 8, 9), 3, {"train": 12, "val": 4, "test": 3})
    assert torch.equal(data.observations("val").at(slice(None)).x, torch.from_numpy(x[:4]))
    np.savez(tmp_path / "v.npz", x_train=x[:, 0, 0], x_test=x[:, 0, 0])
    assert build(own(tmp_path / "v.npz", data="vectors")).data.shape == (9,)


def test_names_of_classes_serve_pictures_and_samples(train_once, tmp_path, capsys):
    root = pictures(tmp_path / "pets", "train", "test", classes=("cat", "dog"))
    (root / "train/cat/notes.txt").touch()
    run = train_once("data=folder", f"data.root={root}", "variant=cvae", "pictures.columns=2")
    said = capsys.readouterr()
    assert "in 2 classes: cat 12, dog 12" in said.out
    assert "left aside: of other kinds 1 (train/cat/notes.txt)" in said.out
    assert "likelihood=discretized_logistic_mixture is one" in said.err
    assert run.read()["data"]["classes"] == {"cat": 12, "dog": 12}
    model = aelab.load(run.path)
    assert torch.equal(model.sample(2, y="dog", seed=0), model.sample(2, y=1, seed=0))
    with pytest.raises(AelabError, match="'cow' is none of cat, dog"):
        model.sample(2, y="cow")
    sample(compose([f"run={run.path}", f"to={tmp_path / 'to'}", "each=3"], "sample"))
    names = sorted(path.name for path in (tmp_path / "to").iterdir())
    assert names == [f"{name}_{place:05}.png" for name in ("cat", "dog") for place in range(3)]


def arrays(dtype=np.uint8, shape=(6, 8, 8), scale=1):
    def write(root):
        x = (DRAW.integers(0, 256, shape) * scale).astype(dtype)
        np.savez(root / "a.npz", x_train=x, x_test=x[::-1] // 2, x_val=x[:2])
        return root / "a.npz"

    return write


@pytest.mark.parametrize(
    ("data", "make", "overrides"),
    [
        ("npz", arrays(np.float32, scale=1 / 255), []),
        ("npz", arrays(np.uint16, scale=16), []),
        ("npz", arrays(np.int16, scale=-3), []),
        ("npz", arrays(shape=(6, 8, 8, 1)), ["data.shape=[3,8,8]"]),
        ("npz", arrays(shape=(6, 8, 8, 3)), ["data.shape=[1,8,8]"]),
        ("npz", arrays(shape=(6, 4, 8, 8)), ["data.shape=[3,8,8]"]),
        ("npz", arrays(shape=(6, 9, 7)), ["data.shape=[1,8,8]"]),
        ("npz", arrays(), ["data.validation=2"]),
        ("npz", arrays(), ["data.folds=2"]),
        ("npz", arrays(), ["data.classes=2"]),
        ("npz", arrays(), ["data.kind.shown=[5]"]),
        ("folder", lambda root: pictures(root, "train", "test", dtype=np.uint16), []),
        ("folder", lambda root: pictures(root, "train", "test"), ["data.shape=[5,8,8]"]),
        ("folder", lambda root: pictures(root, "train", "test"), ["data.classes=5"]),
        ("folder", lambda root: pictures(root, "train", "test"), ["data.source.test=0.5"]),
        ("folder", lambda root: pictures(root, "train", "val", "test"), ["data.validation=0.5"]),
        ("folder", lambda root: pictures(root, "train", "test"), ["data.kind.background=nothing"]),
    ],
)
def test_an_advice_works_where_it_is_followed(tmp_path, data, make, overrides):
    root, followed = make(tmp_path), []
    with pytest.raises(AelabError) as refusal:
        build(own(root, *overrides, data=data))
    for _ in range(2):  # an advice may lead to one more
        advised = re.search(r"(data\.[a-z_.]+)=(\[[^]]*\]|[\w.]+) would ", str(refusal.value))
        assert advised, refusal.value
        kept = [o for o in (*overrides, *followed) if not o.startswith(f"{advised[1]}=")]
        followed = [*kept[len(overrides) :], f"{advised[1]}={advised[2].replace(' ', '')}"]
        try:
            assert build(own(root, *kept[: len(overrides)], *followed, data=data)).data.counts["train"] > 0
            return
        except AelabError as error:
            refusal.value.args = error.args
    pytest.fail(str(refusal.value))
