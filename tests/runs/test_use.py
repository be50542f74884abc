"""The commands that use a trained model: what they write, and names that mean harm."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import aelab
from aelab.composition import compose
from aelab.errors import AelabError
from aelab.runs.drafts import safe_names
from aelab.runs.encode import main as encode
from aelab.runs.reconstruct import main as reconstruct
from aelab.runs.sample import main as sample

HOSTILE = [
    "<script>.png",
    "a\nb.png",
    "'\"; rm -rf ~.png",
    "=1+1.png",
    "..\\..\\x.png",
    "pairs.png",
    "A.png",
    "a.jpg",
]


@pytest.fixture(scope="module")
def run(train_once):
    return train_once()


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    levels = np.random.default_rng(0).integers(0, 256, (len(HOSTILE) + 1, 8, 8), np.uint8)
    for name, level in zip([*HOSTILE, "sub/a.png"], levels, strict=True):
        Image.fromarray(level).save(folder / name)
    return folder


def configured(name, run, to, *overrides):
    return compose([f"run={run.path}", f"to={to}", *overrides], name)


def test_samples_are_those_of_the_model(run, tmp_path):
    sample(configured("sample", run, tmp_path / "to", "count=3", "seed=4"))
    files = sorted((tmp_path / "to").iterdir())
    found = np.stack([np.asarray(Image.open(file)) for file in files])
    expected = (aelab.load(run.path).sample(3, seed=4) * 255).round()[:, 0]
    assert np.array_equal(found, expected.numpy().astype(np.uint8))
    sample(configured("sample", run, tmp_path / "one", "count=3", "grid=true"))
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["samples.png"]


def test_names_do_no_harm(run, pictures, tmp_path):
    before = set(tmp_path.rglob("*"))
    reconstruct(configured("reconstruct", run, tmp_path / "to", f"images={pictures}"))
    made = set(tmp_path.rglob("*")) - before - {tmp_path / "to"}
    assert {path.parent for path in made} == {tmp_path / "to"}
    assert len(made) == len(HOSTILE) + 1 + 2
    assert not any(set("<>'\"\n;\\ ") & set(path.name) for path in made)
    with (tmp_path / "to" / "errors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["file"].startswith("./") and "\n" not in row["file"] for row in rows)
    model = aelab.load(run.path)
    x = model.values(Image.open(pictures / "A.png"))
    (error,) = [float(row["squared_error"]) for row in rows if row["file"] == "./A.png"]
    assert error == pytest.approx(((model.reconstruct(x) - x) ** 2).sum().item(), rel=1e-4)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_codes_of_a_split_and_of_a_folder(run, pictures, tmp_path, suffix):
    encode(configured("encode", run, tmp_path / f"split.{suffix}"))
    encode(configured("encode", run, tmp_path / f"folder.{suffix}", f"images={pictures}"))
    if suffix == "npz":
        split, folder = (np.load(tmp_path / f"{name}.npz") for name in ("split", "folder"))
        assert split["codes"].shape == split["deviations"].shape
        assert len(split["labels"]) == len(split["codes"])
        place = list(folder["files"]).index("A.png")
        expected = aelab.load(run.path).encode(Image.open(pictures / "A.png"))
        torch.testing.assert_close(torch.from_numpy(folder["codes"][place : place + 1]), expected)
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "folder.parquet")
        assert {"z0", "z15", "deviation0", "file"} <= set(table.column_names)


def test_nothing_is_replaced_unless_asked(run, tmp_path):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "mine.txt").write_text("kept")
    with pytest.raises(AelabError, match="overwrite=true"):
        sample(configured("sample", run, tmp_path / "to", "count=1"))
    with pytest.raises(AelabError, match=r"holds other things too, as 'mine.txt'"):
        sample(configured("sample", run, tmp_path / "to", "count=1", "overwrite=true"))
    assert [file.name for file in (tmp_path / "to").iterdir()] == ["mine.txt"]


def test_what_an_earlier_call_left_is_not_mixed_with_the_new(run, tmp_path):
    sample(configured("sample", run, tmp_path / "to", "count=3"))
    sample(configured("sample", run, tmp_path / "to", "count=1", "overwrite=true"))
    assert [file.name for file in (tmp_path / "to").iterdir()] == ["00000.png"]


@pytest.mark.parametrize("resize", [False, True])
def test_pictures_of_another_size(run, tmp_path, resize):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "in" / "large.png")
    config = configured("reconstruct", run, tmp_path / "to", f"images={tmp_path / 'in'}", f"resize={resize}")
    if resize:
        reconstruct(config)
        assert Image.open(tmp_path / "to" / "large.png").size == (8, 8)
        return
    with pytest.raises(AelabError, match=r"20x30.*8x8.*resize=true"):
        reconstruct(config)
    assert [path.name for path in tmp_path.iterdir() if path.name != "vae_digits"] == ["in"]


def test_safe_names_are_different_and_plain():
    names = safe_names(
        ["../../etc/passwd", "a/b", "a-b", "A-B", "...", "\udcff", "x" * 400], ".png", ["image.png"]
    )
    assert len({name.casefold() for name in names} | {"image.png"}) == 8
    assert all("/" not in name and not name.startswith(".") and len(name) < 220 for name in names)
