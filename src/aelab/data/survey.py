"""What the files of a user's own data say of them: all that the options of a data set leave open.

A survey takes the options of `data` as plain containers, and gives values for dotted keys; only those that
are null take them. It reads as little as it can, and no torch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from PIL import Image

from aelab.config.construct import construct
from aelab.core.errors import ConfigurationError, DataError
from aelab.core.paths import from_user
from aelab.core.text import printable
from aelab.data.listing import LAYOUTS, listing
from aelab.figures.depth import GREYS, likely_shape, samples, upright_size

if TYPE_CHECKING:
    from aelab.data.columns import Column
    from aelab.data.vocabulary import Vocabulary

Options = Mapping[str, Any]
Found = dict[str, Any]
LOOKED_AT = 50  # pictures, evenly spaced
LARGEST, SIDE = 128, 64  # pictures of one size up to the first stay as they are, others are cut to the second
WINDOW = 128  # tokens of a window
HELD_OUT = 0.1  # of the training split, where none of one's own is there


def folder(options: Options) -> Found:
    """Of pictures in folders: shape, classes with their names, and which splits must be cut."""
    root = _root(options, f"a folder of pictures; {LAYOUTS}", Path.is_dir)
    if root is None:
        return {}
    found = listing(root)
    files = found.files
    spaced = files[:: max(1, len(files) // LOOKED_AT)]
    return {
        "shape": options.get("shape") or _shape(path.read_bytes() for path in spaced),
        "source.test": None if "test" in found.splits else HELD_OUT,
        **_validation(options, "val" in found.splits),
        **_classes(options, root, list(found.classes)),
    }


def parquet(options: Options) -> Found:
    """Of pictures in parquet files: shape, classes with the names that Hugging Face keeps, and validation."""
    root = _root(options, "a folder of parquet files", Path.is_dir)
    if root is None:
        return {}
    from aelab.data.sources.parquet import Parquet, class_names, pictures

    source = dict(options["source"])
    given = {key: source[key] for key in ("image", "label", "train", "val", "test")}
    files = Parquet(root, options["name"], (1, 1, 1), **given).files
    first = islice(pictures(files["train"], given["image"]), LOOKED_AT)
    names = [] if given["label"] is None else class_names(files, given["label"])
    if options.get("classes") not in (None, len(names)):  # not all labels need be there
        names = []
    return {
        "shape": options.get("shape") or _shape(content for content, _ in first),
        **_validation(options, "val" in files),
        **_classes(options, root, names),
    }


def images(options: Options) -> Found:
    """Of images in an .npz file: shape, classes and validation."""
    return _arrays(options, likely_shape)


def vectors(options: Options) -> Found:
    """Of vectors in an .npz file: their size, classes and validation."""
    return _arrays(options, lambda sizes: tuple(sizes) if len(sizes) == 1 else None)


def text(options: Options) -> Found:
    """Of text in files: the vocabulary, the length of the longest sequence, and validation."""
    from aelab.data.texts import LONGEST, encoded, pieces_of, text_files, too_long

    root = _root(options, "a file of text, or a folder of .txt files", Path.exists)
    if root is None:
        return {}
    source = options["source"]
    files = text_files(root, source["encoding"])
    pieces = [piece for file in files for piece in pieces_of(file, source["unit"])]
    found, vocabulary = _vocabulary(options, [piece.text for piece in pieces])
    if source["unit"] == "windows":
        shape = [WINDOW]
    else:
        each = ((len(encoded(piece, vocabulary)) + 1, piece) for piece in pieces)
        longest, piece = max(each, key=lambda one: one[0])
        if longest > LONGEST and options.get("shape") is None and source["longer"] == "refuse":
            raise too_long(piece.where, longest, LONGEST)
        shape = [min(longest, LONGEST)]
    has = {file.split for file in files}
    return {
        **found,
        "shape": shape,
        "source.test": None if "test" in has else HELD_OUT,
        **_validation(options, "val" in has),
    }


def grammar(options: Options) -> Found:
    """Of sentences that are drawn: the vocabulary and the length of the longest."""
    from aelab.data.grammar import Grammar, english

    known = Grammar(english())
    found, vocabulary = _vocabulary(options, [" ".join(known.words)])
    longest = len(vocabulary.encode(" ".join([max(known.words, key=len)] * known.longest)))
    return {**found, "shape": [longest + 1]}


def seen(options: Options) -> Found:
    """Of a view of sounds: the shape and the bounds of what it shows."""
    view = construct(options["kind"]["view"], "data.kind.view")
    return {"shape": list(view.shape), "bounds": list(view.bounds)}


def sounds(options: Options) -> Found:
    """Of recordings: the shape of what a view shows of them, classes with their names, and validation."""
    from aelab.data.recordings import classes_of, label_of, recordings, split_of

    root = _root(options, "a folder or an archive of recordings", Path.exists)
    if root is None:
        return seen(options)
    source, splits, labels = options["source"], set(), []
    for name, _ in recordings(root):
        splits.add(split_of(name)[0])
        labels.append(label_of(name, source["label"]))
    names = classes_of(label for label in labels if label is not None)
    return {
        **seen(options),
        **_validation(options, "val" in splits),
        **_classes(options, root, names if len(names) > 1 else []),
    }


def _vocabulary(options: Options, texts: list[str]) -> tuple[Found, "Vocabulary"]:
    """The vocabulary of texts as options of data, and itself; how it is learned is its own affair."""
    node = dict(options["kind"]["vocabulary"])
    known = construct(node, "data.kind.vocabulary").learn(texts)
    made = construct({**node, **known}, "data.kind.vocabulary")
    said = {f"kind.vocabulary.{name}": value for name, value in known.items()}
    return {**said, "vocabulary": made.size}, made


def table(options: Options) -> Found:
    """Of a table in a file: what each of its columns holds."""
    from aelab.data.columns import sheet, surveyed

    root = _root(options, "a table, as .csv or .parquet", Path.is_file)
    source = options["source"]
    if root is None:
        return {}
    label = [source["label"]] if source["label"] is not None else []
    found = surveyed(sheet(root, source["delimiter"]), [*source["categorical"], *label], source["drop"])
    classes = next((list(column.categories) for column in found if column.name in label), [])
    rest = [column for column in found if column.name not in label]
    return {**_columns(rest), **_classes(options, root, classes)}


def published(options: Options) -> Found:
    """Of a table of scikit-learn: what each of its columns holds."""
    from aelab.data.columns import surveyed
    from aelab.data.sources.sheets import published as published_sheet

    return _columns(surveyed(published_sheet(construct(options["source"]["table"], "data.source.table"))))


def _columns(found: "Sequence[Column]") -> Found:
    return {"kind.columns": [column.facts() for column in found], "shape": [len(found)]}


def _arrays(options: Options, shape_of: Callable[[tuple[int, ...]], tuple[int, ...] | None]) -> Found:
    root = _root(options, "an .npz file", Path.is_file)
    if root is None:
        return {}
    try:
        with ZipFile(root) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            with archive.open(members["x_train"]) as file:
                sizes = _header(file)
        with np.load(root, allow_pickle=False) as arrays:
            labels = [arrays[name].max(initial=-1) for name in members if name.startswith("y_")]
    except (KeyError, ValueError, OSError, BadZipFile, TypeError):
        return _validation(options, False)  # the source says what is wrong with the file
    shape = options.get("shape") or shape_of(sizes[1:])
    if shape is None:
        raise DataError(
            f"{printable(root)}: x_train is of shape {sizes}, which are no such observations: give data.shape"
        )
    most = int(max(labels, default=-1)) + 1
    return {
        "shape": list(shape),
        "classes": most or None,
        **_validation(options, any(f"x_{name}" in members for name in ("val", "valid", "validation"))),
    }


def _header(file: Any) -> tuple[int, ...]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)[0]


def _root(options: Options, what: str, fits: Callable[[Path], bool]) -> Path | None:
    """Where the files are; None where they are not here, and nothing that is needed is asked of them."""
    given = options.get("root")
    root = None if given in (None, "???") else from_user(str(given))
    if root is not None and fits(root):
        return root
    if options.get("shape"):
        return None
    raise DataError(f"data.root={given} of {options['name']} must name {what}")


def _validation(options: Options, has_own: bool) -> Found:
    return {} if has_own or options.get("folds") is not None else {"validation": HELD_OUT}


def _classes(options: Options, root: Path, names: list[str]) -> Found:
    given = options.get("classes")
    if not names:
        return {}
    if given not in (None, len(names)):
        raise ConfigurationError(
            f"data.classes={given}, and {printable(root)} holds {len(names)} classes; "
            f"data.classes={len(names)} would work"
        )
    return {"classes": len(names), "class_names": names}


def _shape(pictures: Iterable[bytes]) -> list[int]:
    """The one that pictures have, if all have it and it is small; else one that a network can train on."""
    shapes = {shape for content in pictures if (shape := _measured(content)) is not None}
    channels = {shape[0] for shape in shapes}
    coloured = 3 if channels <= {1, 3} and 3 in channels else max(channels, default=1)
    places = {shape[1:] for shape in shapes}
    one = places.pop() if len(places) == 1 else (SIDE, SIDE)
    return [coloured, *(one if max(one) <= LARGEST else (SIDE, SIDE))]


def _measured(content: bytes) -> tuple[int, int, int] | None:
    """(C, H, W) of a picture as it is seen; None for one that is damaged."""
    try:
        found = samples(content)
        if found is not None:
            height, width, channels = found.values.shape
            return channels, height, width
        with Image.open(BytesIO(content)) as picture:
            width, height = upright_size(picture)
            return (1 if picture.mode in GREYS else 3), height, width
    except Exception:  # Pillow raises a dozen kinds for damaged bytes, and reading names the picture
        return None
