import io

import numpy as np
import pytest
from PIL import Image

from aelab.core.errors import ConfigurationError, DataError
from aelab.data.sources.parquet import Parquet

arrow = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (260, 5, 4, 3), np.uint8)


def png(array):
    content = io.BytesIO()
    Image.fromarray(array).save(content, "png")
    return content.getvalue()


def write(path, pixels, labels=None, struct=True, image="image", label="label"):
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = [png(array) for array in pixels]
    column = [{"bytes": content, "path": "x.png"} for content in contents] if struct else contents
    columns = {image: column}
    if label is not None:
        columns[label] = arrow.array(range(len(pixels)) if labels is None else labels)
    parquet.write_table(arrow.table(columns), path, row_group_size=90)


def source(root, **options):
    return Parquet(root, "tiny", (3, 5, 4), **options)


def check(images, pixels, labels):
    np.testing.assert_array_equal(images.at(slice(None)).x.permute(0, 2, 3, 1), pixels)
    assert images.y.tolist() == list(labels)


@pytest.mark.parametrize("struct", [True, False])
@pytest.mark.parametrize("below", ["", "plain_text", "tiny", "tiny/data"])
def test_rows_are_images_with_their_labels_wherever_the_files_lie(root, pixels, struct, below):
    write(root / below / "train.parquet", pixels[:250], struct=struct)
    write(root / below / "test.parquet", pixels[250:], struct=struct)
    read = source(root)
    read.prepare()
    splits = read.load()
    check(splits.train, pixels[:250], range(250))
    check(splits.test, pixels[250:], range(10))
    assert splits.train.x.data_ptr() == splits.test.x.data_ptr()


def test_files_of_a_split_are_joined_in_the_order_of_their_names(root, pixels):
    for place, part in ((1, slice(100, 210)), (0, slice(0, 100)), (2, slice(210, 250))):
        labels = range(part.start, part.stop)
        write(root / f"train-0000{place}-of-00003.parquet", pixels[part], labels)
    write(root / "test-00000-of-00001.parquet", pixels[250:])
    splits = source(root).load()
    check(splits.train, pixels[:250], range(250))
    check(splits.test, pixels[250:], range(10))


def test_columns_and_patterns_can_be_named(root, pixels):
    write(root / "a.parquet", pixels[:2], image="img", label="fine")
    write(root / "b.parquet", pixels[2:4], image="img", label="fine")
    splits = source(root, image="img", label="fine", train="a*", test="b*").load()
    check(splits.train, pixels[:2], range(2))
    assert source(root, image="img", label=None, train="a*", test="b*").load().test.y is None


def test_rows_are_decoded_once(root, pixels, monkeypatch):
    write(root / "train.parquet", pixels[:2])
    write(root / "test.parquet", pixels[2:4])
    first = source(root).load()
    monkeypatch.setattr("aelab.data.sources.pictures.decoded", lambda *_: pytest.fail("decoded twice"))
    again = source(root).load()
    check(again.train, pixels[:2], range(2))
    assert first.checksums == again.checksums


def test_a_missing_root_is_named_and_nothing_is_downloaded(root):
    for missing in (None, root / "none"):
        with pytest.raises(DataError, match=r"data\.root=.* of tiny must name a folder .* downloaded"):
            source(missing).prepare()
    with pytest.raises(DataError, match=f"{root}: there is no file .*train.*parquet; data.root must name"):
        source(root).prepare()


def test_two_folders_with_a_split_are_refused(root, pixels):
    for below in ("one", "two"):
        write(root / below / "train.parquet", pixels[:2])
    with pytest.raises(DataError, match=r"is found in .*/one and in .*/two; data\.root must name one"):
        source(root).prepare()


@pytest.mark.parametrize("pattern", ["", "/train*", "**train"])
def test_what_is_no_pattern_is_refused(root, pattern):
    with pytest.raises(ConfigurationError, match=r"is no pattern of files below data\.root"):
        source(root, train=pattern).prepare()


def test_a_file_in_both_splits_is_refused(root, pixels):
    write(root / "train.parquet", pixels[:2])
    with pytest.raises(ConfigurationError, match=r"train\.parquet: matches .* share no file are needed"):
        source(root, test="*.parquet").prepare()


@pytest.mark.parametrize("option", ["image", "label"])
def test_a_missing_column_is_named_with_those_that_there_are(root, pixels, option):
    for split in ("train", "test"):
        write(root / f"{split}.parquet", pixels[:2])
    with pytest.raises(DataError, match=rf"no column img; data\.source\.{option} must be .* image, label"):
        source(root, **{option: "img"}).load()


def test_a_damaged_picture_is_named_with_its_row(root, pixels):
    for split in ("train", "test"):
        write(root / f"{split}.parquet", pixels[:2])
    for cell, match in ((b"no picture", "cannot be decoded"), (None, "holds NoneType; the bytes")):
        contents = [{"bytes": png(pixels[0]), "path": ""}] * 150 + [{"bytes": cell, "path": ""}]
        table = arrow.table({"image": contents, "label": [0] * 151})
        parquet.write_table(table, root / "test.parquet")
        with pytest.raises(DataError, match=rf"test\.parquet, row 150: {match}"):
            source(root).load()


@pytest.mark.parametrize("labels", [[0.0, 1.0], [1, None], ["a", "b"]])
def test_labels_that_are_no_integers_are_refused(root, pixels, labels):
    for split in ("train", "test"):
        write(root / f"{split}.parquet", pixels[:2], labels)
    with pytest.raises(DataError, match=r"label holds .*; integers without nulls"):
        source(root).load()


def test_a_damaged_file_is_named(root, pixels):
    write(root / "test.parquet", pixels[:2])
    whole = (root / "test.parquet").read_bytes()
    for content in (b"", b"PAR1", whole[:-20], whole[:30]):
        (root / "train.parquet").write_bytes(content)
        with pytest.raises(DataError, match=r"train\.parquet: cannot be read"):
            source(root).prepare()


def test_a_split_without_rows_is_refused(root, pixels):
    write(root / "train.parquet", pixels[:2])
    write(root / "test.parquet", pixels[:0])
    with pytest.raises(DataError, match="a split has no rows"):
        source(root).prepare()
