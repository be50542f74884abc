"""The commands that use a trained model: what they write, and names that mean harm."""

import csv
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import aelab
from aelab.cli.encode import main as encode
from aelab.cli.reconstruct import main as reconstruct
from aelab.cli.restore import main as restore
from aelab.cli.sample import main as sample
from aelab.config.compose import compose
from aelab.core.errors import AelabError
from aelab.core.files import draft, safe_names
from aelab.runs.data import data_of
from aelab.runs.folder import Run

HOSTILE = [
    "<script>.png",
    "a\nb.png",
    "'\"; rm -rf ~.png",
    "=1+1.png",
    "x\\..\\..\\x.png",
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


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


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


def test_samples_and_reconstructions_as_arrays(run, pictures, tmp_path):
    sample(configured("sample", run, tmp_path / "some.npz", "count=3", "seed=4"))
    model = aelab.load(run.path)
    assert np.array_equal(np.load(tmp_path / "some.npz")["x"], model.sample(3, seed=4).numpy())
    reconstruct(configured("reconstruct", run, tmp_path / "back.npz", f"from={pictures}"))
    reconstruct(configured("reconstruct", run, tmp_path / "back", f"from={pictures}"))
    found = np.load(tmp_path / "back.npz")
    with (tmp_path / "back" / "errors.csv").open() as file:
        rows = list(csv.DictReader(file))
    errors = [float(row["squared_error"]) for row in rows]
    np.testing.assert_allclose(found["squared_error"], errors, rtol=1e-5)
    place = [row["file"] for row in rows].index("./A.png")
    picture = np.asarray(Image.open(tmp_path / "back" / "A.png"))
    assert np.abs(found["x"][place, 0] * 255 - picture).max() <= 0.5 + 1e-3
    with pytest.raises(AelabError, match="grid=true: a picture goes to a folder"):
        sample(configured("sample", run, tmp_path / "other.npz", "grid=true"))


def test_restorations_as_arrays_tell_their_deviations(run, pictures, tmp_path):
    told = (f"from={pictures}", "damage=true", "degradation=missing", "seed=3")
    restore(configured("restore", run, tmp_path / "back.npz", *told))
    found = np.load(tmp_path / "back.npz")
    assert found["x"].shape == found["deviation"].shape == (len(HOSTILE) + 1, 1, 8, 8)
    assert (found["deviation"] > 0).any()
    restore(configured("restore", run, tmp_path / "back", *told))
    with (tmp_path / "back" / "errors.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("error_before", "error_after"):
        np.testing.assert_allclose(found[name], [float(row[name]) for row in rows], rtol=1e-5)


def test_names_do_no_harm(run, pictures, tmp_path):
    before = set(tmp_path.rglob("*"))
    reconstruct(configured("reconstruct", run, tmp_path / "to", f"from={pictures}"))
    made = set(tmp_path.rglob("*")) - before - {tmp_path / "to"}
    assert {path.parent for path in made} == {tmp_path / "to"}
    assert len(made) == len(HOSTILE) + 1 + 2
    assert not any(set("<>'\"\n;\\ ") & set(path.name) for path in made)
    with (tmp_path / "to" / "errors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["file"].startswith("./") and "\n" not in row["file"] for row in rows)
    model = aelab.load(run.path)
    x = model.seen(Image.open(pictures / "A.png"))
    (error,) = [float(row["squared_error"]) for row in rows if row["file"] == "./A.png"]
    assert error == pytest.approx(((model.reconstruct(x) - x) ** 2).sum().item(), rel=1e-4)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_codes_of_a_split_and_of_a_folder(run, pictures, tmp_path, suffix):
    encode(configured("encode", run, tmp_path / f"split.{suffix}"))
    encode(configured("encode", run, tmp_path / f"folder.{suffix}", f"from={pictures}"))
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


@pytest.fixture(scope="module")
def told(train_once):
    """A model of labels, and one of attributes."""
    attributes = ["data=dsprites", "data.source.count=600", "data.validation=50", "condition=attributes"]
    return train_once("variant=cvae"), train_once(*attributes)


@pytest.mark.parametrize("split", ["val", "test"])
def test_codes_of_a_split_are_told_what_the_model_is_told(told, tmp_path, split):
    for place, run in enumerate(told):
        encode(configured("encode", run, tmp_path / f"{place}.npz", f"split={split}"))
        found, model = np.load(tmp_path / f"{place}.npz"), aelab.load(run.path)
        (batch,) = data_of(Run.open(run.path)).in_order(split, 500)
        condition = {"attributes": batch.attributes} if place else {"y": batch.y}
        posterior = model.posterior(batch.x, **condition)
        torch.testing.assert_close(torch.from_numpy(found["codes"]), posterior.mean)
        torch.testing.assert_close(torch.from_numpy(found["deviations"]), posterior.stddev)
        if batch.y is not None:
            assert np.array_equal(found["labels"], batch.y)


def test_codes_of_a_folder_are_told_what_is_given(told, pictures, tmp_path):
    (labelled, attributed), images = told, f"from={pictures}"
    encode(configured("encode", labelled, tmp_path / "a.npz", images, "label=3"))
    expected = aelab.load(labelled.path).encode([Image.open(path) for path in files_in(pictures)], y=3)
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "a.npz")["codes"]), expected)
    given = [0.5, *[0.0] * (aelab.load(attributed.path).model.conditioner.features - 1)]
    encode(configured("encode", attributed, tmp_path / "b.npz", images, f"attributes={given}", "resize=true"))
    found = np.load(tmp_path / "b.npz")
    assert len(found["codes"]) == len(HOSTILE) + 1
    assert {"A.png", "sub/a.png"} < set(found["files"])
    with pytest.raises(AelabError, match="give attributes"):
        encode(configured("encode", attributed, tmp_path / "c.npz", images, "resize=true"))


def test_a_parquet_file_holds_the_same_columns(run, tmp_path):
    table = pytest.importorskip("pyarrow.parquet")
    for suffix in ("npz", "parquet"):
        encode(configured("encode", run, tmp_path / f"codes.{suffix}"))
    arrays, columns = np.load(tmp_path / "codes.npz"), table.read_table(tmp_path / "codes.parquet")
    for name, column in (("z3", arrays["codes"][:, 3]), ("deviation15", arrays["deviations"][:, 15])):
        assert np.array_equal(columns[name], column)
    assert np.array_equal(columns["label"], arrays["labels"])
    with pytest.raises(AelabError, match="overwrite=true"):
        encode(configured("encode", run, tmp_path / "codes.npz"))


def test_a_posterior_without_a_closed_form_has_no_deviations(train, tmp_path):
    encode(configured("encode", train("variant=planar_vae"), tmp_path / "codes.npz"))
    assert set(np.load(tmp_path / "codes.npz")) == {"codes", "labels"}


def test_samples_are_of_the_label_that_is_asked_for_else_of_all_in_turn(told, tmp_path):
    model = aelab.load(told[0].path)
    for to, asked, labels in (("a", "label=2", 2), ("b", "label=null", [place % 10 for place in range(12)])):
        sample(configured("sample", told[0], tmp_path / to, "count=12", asked))
        found = np.stack([np.asarray(Image.open(file)) for file in sorted((tmp_path / to).iterdir())])
        expected = (model.sample(12, y=labels, seed=0) * 255).round()[:, 0]
        assert np.array_equal(found, expected.numpy().astype(np.uint8))


def test_samples_are_of_the_attributes_that_are_given(told, tmp_path):
    model = aelab.load(told[1].path)
    given = [0.5] * model.model.conditioner.features
    sample(configured("sample", told[1], tmp_path / "to", "count=1", f"attributes={given}"))
    (file,) = (tmp_path / "to").iterdir()
    expected = (model.sample(1, attributes=given, seed=0) * 255).round()[0, 0]
    assert np.array_equal(np.asarray(Image.open(file)), expected.numpy().astype(np.uint8))


def test_samples_show_the_part_of_each_picture_that_is_given(train, pictures, tmp_path):
    run = train("condition=image")
    files = files_in(pictures)
    sample(configured("sample", run, tmp_path / "to", f"count={len(files) + 1}", f"from={pictures}"))
    seen = (aelab.load(run.path).model.conditioner.hidden == 0).numpy().squeeze()
    made = [np.asarray(Image.open(file)) for file in sorted((tmp_path / "to").iterdir())]
    for file, image in zip([*files, files[0]], made, strict=True):
        assert np.array_equal(image[seen], np.asarray(Image.open(file))[seen])


def test_a_grid_has_the_columns_that_are_asked_for(run, tmp_path):
    sizes = []
    for columns in (2, 6):
        sample(
            configured("sample", run, tmp_path / f"{columns}", "count=6", "grid=true", f"columns={columns}")
        )
        sizes.append(Image.open(tmp_path / f"{columns}" / "samples.png").size)
    assert sizes[1][0] > 2 * sizes[0][0]
    assert sizes[0][1] > 2 * sizes[1][1]


@pytest.mark.parametrize(
    ("command", "to", "override", "sentence"),
    [
        (encode, "codes.csv", "split=test", r"codes.csv' ends in neither .npz nor .parquet"),
        (encode, "codes.npz", "split=all", "split=all: choose one of train, val, test"),
        (encode, "codes.npz", "data.root=/nowhere", "data.root=/nowhere: digits is read from no files"),
        (encode, "codes.npz", "device=foo", "device=foo is not at hand"),
        (sample, "to", "count=0", "count=0, columns=8: both are at least 1"),
        (sample, "to", "columns=0", "columns=0: both are at least 1"),
        (sample, "to", "device=foo", "device=foo is not at hand"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, tmp_path, command, to, override, sentence):
    name = "encode" if command is encode else "sample"
    with pytest.raises(AelabError, match=sentence):
        command(configured(name, run, tmp_path / to, override))
    assert not list(tmp_path.glob("*"))


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


def test_codes_of_a_folder_do_not_depend_on_how_it_is_read(train_once, pictures, tmp_path, monkeypatch):
    run = train_once("values=dynamic")
    expected = aelab.load(run.path).encode([Image.open(path) for path in files_in(pictures)])
    monkeypatch.setattr("aelab.data.kinds.pixels.BLOCK", 4)
    monkeypatch.setattr("aelab.cli.encode.BLOCK", 4)
    encode(configured("encode", run, tmp_path / "codes.npz", f"from={pictures}"))
    found = np.load(tmp_path / "codes.npz")
    torch.testing.assert_close(torch.from_numpy(found["codes"]), expected)
    assert len(set(found["files"])) == len(expected) == len(HOSTILE) + 1


WAIT = """
import signal, sys, time
from aelab.core.files import draft
with draft(sys.argv[1]) as folder:
    folder.mkdir()
    (folder / "half.png").touch()
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_nothing_behind(tmp_path, signum, code):
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT, tmp_path / "to"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    assert list(tmp_path.iterdir()) != []
    process.send_signal(signum)
    assert process.wait(timeout=20) == code
    assert list(tmp_path.iterdir()) == []


def test_a_signal_does_not_halve_a_replacement(tmp_path, monkeypatch):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "old.png").touch()
    remove = shutil.rmtree

    def interrupted(path, **options):
        remove(path, **options)
        monkeypatch.undo()
        signal.raise_signal(signal.SIGTERM)

    with draft(str(tmp_path / "to"), overwrite=True) as folder:
        folder.mkdir()
        (folder / "new.png").touch()
        monkeypatch.setattr(shutil, "rmtree", interrupted)
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["new.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


@pytest.mark.parametrize("resize", [False, True])
def test_pictures_of_another_size(run, tmp_path, resize):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "in" / "large.png")
    config = configured("reconstruct", run, tmp_path / "to", f"from={tmp_path / 'in'}", f"resize={resize}")
    if resize:
        reconstruct(config)
        assert Image.open(tmp_path / "to" / "large.png").size == (8, 8)
        return
    with pytest.raises(AelabError, match=r"20x30.*8x8.*resize=True"):
        reconstruct(config)
    assert [path.name for path in tmp_path.iterdir() if path.name != "vae_digits"] == ["in"]


def test_safe_names_are_different_and_plain():
    names = safe_names(
        ["../../etc/passwd", "a/b", "a-b", "A-B", "...", "\udcff", "x" * 400], ".png", ["image.png"]
    )
    assert len({name.casefold() for name in names} | {"image.png"}) == 8
    assert all("/" not in name and not name.startswith(".") and len(name) < 220 for name in names)
