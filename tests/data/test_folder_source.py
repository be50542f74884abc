import os
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from aelab.core.errors import ConfigurationError, DataError
from aelab.data.listing import listing
from aelab.data.sources.folder import Folder
from aelab.figures.decoding import Decoder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def save(path, value, size=(4, 3), mode="L"):
    """A picture of one value, with the value in its first pixel's place too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def values(images):
    return images.at(slice(None)).x[:, 0, 0, 0].tolist()


def folder(root, shape=(1, 3, 4), **options):
    return Folder(root, "tiny", shape, **options)


def test_classes_are_labels_in_the_order_of_their_names(root):
    for value, name in enumerate(["train/b/1.png", "train/a/2.png", "train/b/0.png", "test/b/x.PNG"]):
        save(root / name, value)
    source = folder(root)
    source.prepare()
    splits = source.load()
    assert (values(splits.train), splits.train.y.tolist()) == ([1, 2, 0], [0, 1, 1])
    assert (values(splits.test), splits.test.y.tolist()) == ([3], [1])
    assert splits.train.x.data_ptr() == splits.test.x.data_ptr()
    assert set(splits.checksums) == {"x", "y", "train rows", "test rows"}


def test_pictures_side_by_side_have_no_labels(root):
    for value, name in enumerate(["train/2.png", "train/1.png", "test/0.png"]):
        save(root / name, value)
    splits = folder(root).load()
    assert (values(splits.train), splits.train.y) == ([1, 0], None)
    assert (values(splits.test), splits.test.y) == ([2], None)
    assert set(splits.checksums) == {"x", "train rows", "test rows"}


@pytest.mark.parametrize("below", ["", "class/"])
def test_a_flat_folder_is_cut_the_same_each_time(root, below):
    for value in range(20):
        save(root / f"{below}{value:02}.png", value)
    first, again = folder(root, test=0.25).load(), folder(root, test=5).load()
    assert sorted(values(first.train) + values(first.test)) == list(range(20))
    assert values(first.test) == values(again.test)
    assert len(first.test) == 5
    assert values(first.test) != sorted(values(first.test))
    assert (first.train.y is None) == (below == "")


def test_pictures_are_decoded_once_and_again_when_one_of_them_or_the_shape_changes(root, cache, monkeypatch):
    for name in ("train/0.png", "test/0.png"):
        save(root / name, 7)
    folder(root).prepare()
    with monkeypatch.context() as patch:
        patch.setattr("aelab.data.sources.pictures.decoded", lambda *_: pytest.fail("decoded twice"))
        assert values(folder(root).load().train) == [7]
    save(root / "train/0.png", 8)
    os.utime(root / "train/0.png", ns=(1, 1))
    assert values(folder(root).load().train) == [8]
    assert folder(root, (3, 2, 2)).load().train.x.shape == (2, 3, 2, 2)
    assert len(list((cache / "tiny").iterdir())) == 3


def test_what_is_no_picture_is_left_aside_and_named(root):
    hidden = ("train/.hidden.png", "train/a/deep/.cache/1.png", "train/a/._0.png")
    for name in ("train/a/0.png", "test/a/0.png", "more/0.png", *hidden):
        save(root / name, 7)
    (root / "train/notes.txt").touch()
    (root / "train/a/Thumbs.db").touch()
    (root / "train/a/gone.png").symlink_to(root / "nowhere.png")
    (root / "train/a/again").symlink_to(root / "train")
    splits = folder(root).load()
    assert len(splits.train) == 1
    (said,) = splits.notes
    for words in (
        "hidden 3",
        "of other kinds 2",
        "broken links 1 (train/a/gone.png)",
        "links in a circle 1 (train/a/again)",
        "beside the splits 1 (more)",
    ):
        assert words in said


@pytest.mark.parametrize("link", [False, True])
def test_pictures_may_lie_deeper_and_behind_links(root, link):
    save(root / "test/a/0.png", 1)
    save((root / "elsewhere" if link else root / "train/a") / "deep/0.png", 2)
    if link:
        (root / "train").mkdir()
        (root / "train/a").symlink_to(root / "elsewhere")
    assert values(folder(root).load().train) == [2]


@pytest.mark.parametrize("train", ["train", "Training", "TRAIN"])
@pytest.mark.parametrize("val", ["val", "valid", "validation", "Dev"])
@pytest.mark.parametrize("test", ["test", "testing"])
def test_splits_of_ones_own_are_used_however_they_are_called(root, train, val, test):
    for value, split in enumerate((train, val, test)):
        for name in ("2", "10"):
            save(root / split / name / "0.png", 10 * value + int(name))
    splits = folder(root).load()
    assert splits.validation is not None
    found = {part: (values(part_of), part_of.y.tolist()) for part, part_of in vars_of(splits).items()}
    assert found == {"train": ([10, 2], [1, 0]), "val": ([20, 12], [1, 0]), "test": ([30, 22], [1, 0])}
    assert set(splits.checksums) == {"x", "y", "train rows", "val rows", "test rows"}
    assert not splits.notes


def vars_of(splits):
    return {"train": splits.train, "val": splits.validation, "test": splits.test}


def test_an_empty_class_keeps_its_label(root):
    for name in ("train/a/0.png", "train/c/0.png", "test/b/0.png", "test/c/0.png"):
        save(root / name, 7)
    (root / "train/b").mkdir()
    splits = folder(root).load()
    assert (splits.train.y.tolist(), splits.test.y.tolist()) == ([0, 2], [1, 2])
    assert "keep their labels 1 (b)" in splits.notes[0]


def test_damaged_pictures_are_left_aside_and_named_where_that_is_asked(root):
    for value in range(4):
        save(root / f"train/{value}.png", value)
    save(root / "test/0.png", 9)
    (root / "train/2.png").write_bytes(b"none")
    for _ in range(2):  # decoded, and from the cache
        splits = folder(root, skip_damaged=True).load()
        assert values(splits.train) == [0, 1, 3]
        assert any("damaged, and left aside: 1 (" in note and "2.png" in note for note in splits.notes)
    with pytest.raises(DataError, match=r"2\.png: cannot be decoded"):
        folder(root).load()


def test_what_was_done_to_pictures_is_said_also_from_the_cache(root):
    save(root / "train/0.png", (1, 2, 3), (8, 8), "RGB")
    save(root / "test/0.png", 1)
    said = [folder(root).load().notes for _ in range(2)]
    assert said == [["changed: in colour, made grey 1, scaled and cut 1"]] * 2


def test_a_folder_is_listed_once(root, monkeypatch):
    for name in ("train/0.png", "test/0.png"):
        save(root / name, 7)
    seen = []
    monkeypatch.setattr("aelab.data.sources.folder.listing", lambda path: seen.append(path) or listing(path))
    source = folder(root)
    source.prepare()
    source.load()
    assert seen == [root]


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_damaged_picture_is_named_and_nothing_is_kept(root, cache, content):
    for value in range(3):
        save(root / f"train/{value}.png", value, (40, 30))
    save(root / "test/0.png", 9)
    path = root / "train/1.png"
    path.write_bytes(path.read_bytes()[:50] if content is None else content)
    with pytest.raises(DataError, match=r"train/1\.png: cannot be decoded .* put an intact picture"):
        folder(root).prepare()
    assert list((cache / "tiny").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow fewer names")
@pytest.mark.parametrize("name", ["two\nlines", "ünï", " '\"\\ ", "%s{}", os.fsdecode(b"\xff\xfe"), "-rf *"])
def test_odd_names_do_no_harm(root, name):
    save(root / name / f"{name}.png", 3)
    save(root / name / f"{name}2.png", 4)
    (root / name / f"{name}2.png").rename(root / name / f"{name}3.png")
    assert sorted(values(folder(root, test=1).load().train)) in ([3], [4])
    (root / name / f"{name}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"\.png: cannot be decoded") as caught:
        folder(root, test=1).load()
    str(caught.value).encode()
    assert "\n" not in str(caught.value)


def test_a_missing_root_is_named(root):
    for missing in (None, root):
        with pytest.raises(DataError, match=r"data\.root=.* of tiny must name a folder of pictures"):
            folder(missing).prepare()


@pytest.mark.parametrize(
    ("names", "options", "error", "match"),
    [
        (["test/0.png"], {}, DataError, "holds test/ without train/"),
        (["train/0.png"], {}, ConfigurationError, r"data\.source\.test=0\.1 would cut"),
        (["train/0.png", "Training/0.png", "test/0.png"], {}, DataError, "mean the same split: join them"),
        (["train/0.txt", "test/0.txt"], {}, DataError, "t(rain|est): holds no pictures"),
        (["train/0.png", "train/a/0.png", "test/0.png"], {}, DataError, "both beside and in folders"),
        (["train/a/0.png", "test/b/0.png"], {}, DataError, r"b/0\.png: its class is not one of train/ \(a\)"),
        (["train/a/0.png", "test/0.png"], {}, DataError, "its class is not one of train/"),
        (["train/0.png", "test/a/0.png"], {}, DataError, r"its class is not one of train/ \(none\)"),
        (["train/0.png", "test/0.png"], {"test": 1}, ConfigurationError, "source.test=null would work"),
        (["0.png", "1.png"], {}, ConfigurationError, r"data\.source\.test=0\.1 would cut"),
        (["0.png", "1.png"], {"test": 2}, ConfigurationError, r"data\.source\.test=2 of 2 pictures"),
        (["0.png", "1.png"], {"test": 1, "shape": (2, 4, 4)}, DataError, r"data\.shape=\[1,3,4\] would work"),
        (["0.png", "1.png"], {"test": 1, "shape": (4, 4)}, ConfigurationError, r"data\.shape=\[4, 4\]"),
    ],
)
def test_what_cannot_be_read_is_refused(root, names, options, error, match):
    for name in names:
        save(root / name, 0) if name.endswith("png") else (root / name).parent.mkdir(parents=True)
    with pytest.raises(error, match=match):
        folder(root, **options).load()


def test_a_picture_of_the_right_size_is_kept_to_the_bit(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(Decoder()(tmp_path / "a.png", (3, 5, 6), "a"), pixels.transpose(2, 0, 1))
    grey = Decoder()(tmp_path / "a.png", (1, 5, 6), "a")
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[0] - luma).max() <= 1


@pytest.mark.parametrize(
    ("size", "shape"), [((90, 30), (1, 10, 10)), ((30, 90), (1, 10, 10)), ((60, 20), (1, 5, 10))]
)
def test_the_shorter_side_is_scaled_and_the_centre_is_kept(tmp_path, size, shape):
    """A ramp along the longer side: what is left is its middle, at the same slope."""
    length = max(size)
    ramp = np.linspace(0, 255, length).round().astype(np.uint8)
    pixels = np.broadcast_to(ramp if size[0] == length else ramp[:, None], size[::-1])
    Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "a.png")
    found = Decoder()(tmp_path / "a.png", shape, "a")[0].astype(float)
    line = found.mean(0 if size[0] == length else 1)
    factor = max(shape[1] / size[1], shape[2] / size[0])
    places = (length - len(line) / factor) / 2 + (np.arange(len(line)) + 0.5) / factor - 0.5
    np.testing.assert_allclose(line[1:-1], places[1:-1] * 255 / (length - 1), atol=1.5)


def test_a_turned_photograph_is_set_upright(tmp_path):
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    image.save(tmp_path / "a.png", exif=exif)
    assert Decoder()(tmp_path / "a.png", (1, 3, 2), "a")[0].tolist() == [[3, 0], [4, 1], [5, 2]]


def test_pillows_limit_of_pixels_stays_on(tmp_path, monkeypatch):
    Image.new("1", (400, 400)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings(), pytest.raises(DataError, match=r"a\.png: .*exceeds limit"):
        Decoder()(tmp_path / "a.png", (1, 4, 4), f"{tmp_path}/a.png")


def test_loading_leaves_the_pixels_on_disk(root, cache):
    """Training and test images are windows onto the file: a change of it is seen in both."""
    save(root / "train/0.png", 1)
    save(root / "test/0.png", 1)
    splits = folder(root).load()
    (path,) = (cache / "tiny").iterdir()
    with path.open("r+b") as file:
        file.seek(-32 - 2 * 12, os.SEEK_END)
        file.write(bytes([9] * 24))
    assert values(splits.train) == values(splits.test) == [9]
    assert torch.is_tensor(splits.train.rows)
