"""Encoded pictures in the columns of parquet files, as Hugging Face's data sets are stored."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.paths import from_user
from aelab.core.text import listed, sentence
from aelab.data.kinds.pixels import Pixels
from aelab.data.sources.cache import below, fingerprint
from aelab.data.sources.pictures import Pictures
from aelab.data.splits import Splits


class Parquet:
    """The rows of the parquet files of each split; decoded once into a memory map.

    root: the folder under which the files lie, or a folder with another one, `name`, in which they do.
    name: the folder of the memory map in the cache, too.
    shape: (C, H, W) of the images; kind: how pictures become these.
    image: the column of encoded pictures: bytes, or a struct with the field `bytes`.
    label: the column of integer labels, or None.
    train, val, test: patterns of the files of each split below `root`; those of one split lie in one folder.
        A validation split may be missing.
    skip_damaged: leave aside, and name, what cannot be decoded, in the place of an error.
    """

    def __init__(
        self,
        root: str | Path | None,
        name: str,
        shape: Sequence[int],
        image: str = "image",
        label: str | None = "label",
        train: str = "**/train*.parquet",
        val: str = "**/val*.parquet",
        test: str = "**/test*.parquet",
        kind: Pixels | None = None,
        skip_damaged: bool = False,
    ) -> None:
        self.root = None if root is None else from_user(root)
        self.name = name
        self.image, self.label = image, label
        self.patterns = {"train": train, "val": val, "test": test}
        self.pictures = Pictures(name, tuple(shape), kind or Pixels(), skip_damaged)

    def prepare(self) -> None:
        """Decode what is not in the cache; DataError naming the row of a picture that cannot be."""
        self._decoded()

    def load(self) -> Splits:
        """The splits, as views of one memory map."""
        decoded = self._decoded()
        ends = np.cumsum(list(self._counts.values()))
        starts = (0, *ends)
        places = {
            split: torch.arange(start, end)
            for split, start, end in zip(self._counts, starts, ends, strict=False)
        }
        found = self.pictures.splits(decoded, places, self._labels())
        found.notes[:0] = self._aside()
        return found

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """The files of each split."""
        if self.root is None or not self.root.is_dir():
            raise DataError(
                f"data.root={self.root} of {self.name} must name a folder with the files "
                f"{self.patterns['train']} and {self.patterns['test']}; nothing is downloaded"
            )
        found = {split: self._matching(pattern, split) for split, pattern in self.patterns.items()}
        for first, second in combinations(found, 2):
            if both := set(found[first]) & set(found[second]):
                patterns = (f"data.source.{split}={self.patterns[split]}" for split in (first, second))
                raise ConfigurationError(
                    f"{min(both)}: matches {' and '.join(patterns)}; patterns that share no file are needed"
                )
        return {split: files for split, files in found.items() if files}

    @cached_property
    def _counts(self) -> dict[str, int]:
        counts = {split: sum(map(_rows, files)) for split, files in self.files.items()}
        if not all(counts.values()):
            raise DataError(f"{self._folder}: a split has no rows; at least one picture in each is needed")
        return counts

    @cached_property
    def _every(self) -> list[Path]:
        return [path for files in self.files.values() for path in files]

    def _aside(self) -> list[str]:
        others = sorted(set(self._folder.rglob("*.parquet")) - set(self._every))
        names = (path.relative_to(self._folder) for path in others)
        return [f"left aside: files of no split {len(others):,} ({listed(names)})"] if others else []

    @property
    def _folder(self) -> Path:
        assert self.root is not None
        return below(self.root, self.name)

    def _matching(self, pattern: str, split: str) -> list[Path]:
        try:
            found = sorted(self._folder.glob(pattern))
        except (ValueError, NotImplementedError) as error:
            raise ConfigurationError(
                f"{pattern!r} is no pattern of files below data.root ({error})"
            ) from error
        folders = sorted({str(path.parent) for path in found})
        if not found and split != "val":
            raise DataError(f"{self._folder}: there is no file {pattern}; data.root must name their folder")
        if len(folders) > 1:
            raise DataError(
                f"{pattern} is found in {folders[0]} and in {folders[1]}; data.root must name one of them"
            )
        return found

    def _decoded(self) -> tuple[Tensor, str, dict[str, Any]]:
        count = sum(self._counts.values())
        key = fingerprint(self._every, self._folder, self.image)
        return self.pictures.decoded(key, count, lambda: pictures(self._every, self.image))

    def _labels(self) -> Tensor | None:
        if self.label is None:
            return None
        columns = []
        for path in self._every:
            with opened(path) as table:
                _check_column(table, self.label, path, "data.source.label")
                column = table.read(columns=[self.label]).column(0).to_numpy()
            if column.dtype.kind not in "iu":  # nulls make floats
                raise DataError(
                    f"{path}: {self.label} holds {column.dtype}; integers without nulls are needed, or "
                    "data.source.label=null"
                )
            columns.append(column.astype(np.int64))
        return torch.from_numpy(np.concatenate(columns))


def pictures(files: Sequence[Path], column: str) -> Iterator[tuple[bytes, str]]:
    """Every encoded picture in the column of some files, and where it stands."""
    for path in files:
        with opened(path) as table:
            _check_column(table, column, path, "data.source.image")
            batches = table.iter_batches(100, columns=[column])
            cells = chain.from_iterable(batch.column(0).to_pylist() for batch in batches)
            for row, cell in enumerate(cells):
                where = f"{path}, row {row}"
                yield _content(cell, where), where


def class_names(files: Mapping[str, Sequence[Path]], column: str) -> list[str]:
    """The names of the labels in a column, which Hugging Face keeps beside it; numbers where it does not."""
    last = -1
    names: list[str] = []
    for path in (path for split in files.values() for path in split):
        with opened(path) as table:
            _check_column(table, column, path, "data.source.label")
            found = table.read(columns=[column]).column(0).to_numpy()
            kept = json.loads((table.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        names = kept.get("info", {}).get("features", {}).get(column, {}).get("names") or names
        if found.dtype.kind in "iu":
            last = max(last, int(found.max(initial=-1)))
    return list(map(str, names)) if len(names) > last else [str(label) for label in range(last + 1)]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A parquet file; DataError for one that cannot be read, ConfigurationError without pyarrow."""
    try:
        import pyarrow.lib
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigurationError(f"{path}: needs pyarrow; pip install 'aelab[parquet]' brings it") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            yield table
    except (pyarrow.lib.ArrowException, OSError) as error:
        reason = sentence(error)
        raise DataError(f"{path}: cannot be read ({reason}); put an intact parquet file there") from error


def _rows(path: Path) -> int:
    with opened(path) as table:
        return table.metadata.num_rows


def _check_column(table: Any, name: str, path: Path, option: str) -> None:
    if name not in table.schema_arrow.names:
        raise DataError(
            f"{path}: has no column {name}; {option} must be one of {', '.join(table.schema_arrow.names)}"
        )


def _content(cell: Any, where: str) -> bytes:
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes):
        raise DataError(
            f"{where}: holds {type(content).__name__}; the bytes of an encoded picture are needed, or "
            "data.source.image must name another column"
        )
    return content
