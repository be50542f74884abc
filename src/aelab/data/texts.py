"""Text in files, cut into the sequences that a model reads."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.paths import from_user
from aelab.core.text import listed, printable
from aelab.data.vocabulary import Vocabulary

UNITS = ("lines", "sentences", "windows")
SPLITS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
BETWEEN = re.compile(r"(?<=[.!?])\s+")  # two sentences
LONGEST = 256  # tokens of a sequence, where nothing is declared


@dataclass(frozen=True)
class File:
    """A file of text, and the split that it is; all of "train" but for files that are called by another."""

    path: Path
    split: str
    text: str


@dataclass(frozen=True)
class Piece:
    """One sequence's text. where: its file and line, for errors."""

    text: str
    where: str


def text_files(root: str | Path, encoding: str = "utf-8-sig") -> list[File]:
    """The text in a file, or in all files *.txt in and below a folder, in the order of their names.

    Files called train, test, val, valid or validation are those splits.
    Raises DataError for a place without text, and for what is no text in this encoding.
    """
    place = from_user(root)
    paths = sorted(place.rglob("*.txt")) if place.is_dir() else [place]
    if not paths or not all(path.is_file() for path in paths):
        raise DataError(
            f"{printable(root)}: no text is there; data.root must name a file, or a folder of .txt files"
        )
    return [File(path, SPLITS.get(path.stem.lower(), "train"), _decoded(path, encoding)) for path in paths]


def _decoded(path: Path, encoding: str) -> str:
    content, name = path.read_bytes(), printable(path)
    if b"\0" in content[:1_000_000] and not encoding.lower().startswith(
        ("utf-16", "utf-32", "utf16", "utf32")
    ):
        raise DataError(
            f"{name}: byte {content.index(0):,} is zero, which text has none of: give a text file, or "
            "data.source.encoding=utf-16 for one of that"
        )
    try:
        text = content.decode(encoding)
    except LookupError as error:
        raise ConfigurationError(
            f"data.source.encoding={encoding} is no encoding: utf-8 would work"
        ) from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{name}, line {line}: byte {error.start:,} is no {encoding.removesuffix('-sig')} "
            f"({error.reason}): save it as UTF-8, or name its encoding, as data.source.encoding=latin-1"
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise DataError(f"{name}: holds no text; one line at least is needed")
    return text


def pieces_of(file: File, unit: str) -> Iterator[Piece]:
    """The lines or sentences of a text, without those that are empty; ConfigurationError for another unit."""
    if unit not in UNITS:
        raise ConfigurationError(f"data.source.unit={unit}: choose {', '.join(UNITS)}")
    cut = (
        file.text.split("\n")
        if unit == "lines"
        else [file.text]
        if unit == "windows"
        else _sentences(file.text)
    )
    starts = accumulate((piece.count("\n") + (unit == "lines") for piece in cut), initial=1)
    for piece, line in zip(cut, starts, strict=False):
        if piece.strip():
            said = " ".join(piece.split()) if unit == "sentences" else piece
            yield Piece(said, f"{printable(file.path)}, line {line}")


def _sentences(text: str) -> list[str]:
    """The text cut after full stops, question and exclamation marks; each with the white space behind it."""
    ends = [match.end() for match in BETWEEN.finditer(text)]
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


def encoded(piece: Piece, vocabulary: Vocabulary) -> list[int]:
    """The tokens of a piece; DataError with its place where the vocabulary lacks one."""
    try:
        return vocabulary.encode(piece.text)
    except DataError as error:
        raise DataError(
            f"{piece.where}: {error}: a text of these, or data.kind.vocabulary=null with a vocabulary of its "
            "own, would work"
        ) from error


def too_long(where: str, tokens: int, length: int) -> DataError:
    """The error of a sequence that is longer than sequences may be."""
    return DataError(
        f"{where}: {tokens} tokens with the end, and sequences have {length} (data.shape=[{length}]): "
        f"data.shape=[{tokens}], data.source.longer=cut or data.source.unit=windows would work"
    )


def noted(longer: Sequence[Piece], length: int) -> list[str]:
    """What is told of sequences that were cut."""
    return [f"cut to {length} tokens: {len(longer):,} ({listed(p.where for p in longer)})"] if longer else []
