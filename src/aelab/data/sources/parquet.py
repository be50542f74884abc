"""Encoded pictures in the columns of parquet files, as Hugging Face's data sets are stored."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.paths import from_user
from aelab.core.text import sentence
from aelab.data.sources.cache import below, fingerprint, memory_map
from aelab.data.splits import Observations, Splits, checksum, checksums_of_rows
from aelab.figures.decoding import VERSION, check_shape, decoded


class Parquet:
    """The rows of the parquet files of two splits; decoded once into a memory map.

    root: the folder under which the files lie, or a folder with another one, `name`, in which they do.
    name: the folder of the memory map in the cache, too.
    shape: (C, H, W) of the images; pictures are made grey or coloured, scaled and cut to their centre.
    image: the column of encoded pictures: bytes, or a struct with the field `bytes`.
    label: the column of integer labels, or None.
    train, test: patterns of the files of each split below `root`; those of one split lie in one folder.
    """

    def __init__(
        self,
        root: str | Path | None,
        name: str,
        shape: Sequence[int],
        image: str = "image",
        label: str | None = "label",
        train: str = "**/train*.parquet",
        test: str = "**/test*.parquet",
    ) -> None:
        self.root = None if root is None else from_user(root)
        self.name = name
        self.shape = tuple(shape)
        self.image, self.label = image, label
        self.train, self.test = train, test

    def prepare(self) -> None:
        """Decode what is not in the cache; DataError naming the row of a picture that cannot be."""
        self._pixels(self._files())

    def load(self) -> Splits:
        """Both splits, as views of one memory map."""
        splits = self._files()
        pixels, digest = self._pixels(splits)
        labels = self._labels([path for files in splits for path in files])
        every = Observations(pixels, labels, rows=torch.arange(len(pixels)))
        train, test = torch.arange(len(pixels)).tensor_split([sum(map(_rows, splits[0]))])
        checksums = {"x": digest, **checksums_of_rows(train, test)}
        if labels is not None:
            checksums["y"] = checksum(labels.numpy().tobytes())
        return Splits(every.take(train), every.take(test), checksums)

    def _files(self) -> tuple[list[Path], list[Path]]:
        """The files of the training and of the test split."""
        if self.root is None or not self.root.is_dir():
            raise DataError(
                f"data.root={self.root} of {self.name} must name a folder with the files {self.train} and "
                f"{self.test}; nothing is downloaded"
            )
        train, test = self._matching(self.train), self._matching(self.test)
        if both := set(train) & set(test):
            raise ConfigurationError(
                f"{min(both)}: matches data.source.train={self.train} and data.source.test={self.test}; "
                "patterns that share no file are needed"
            )
        return train, test

    @property
    def _folder(self) -> Path:
        assert self.root is not None
        return below(self.root, self.name)

    def _matching(self, pattern: str) -> list[Path]:
        try:
            found = sorted(self._folder.glob(pattern))
        except (ValueError, NotImplementedError) as error:
            raise ConfigurationError(
                f"{pattern!r} is no pattern of files below data.root ({error})"
            ) from error
        folders = sorted({str(path.parent) for path in found})
        if not found:
            raise DataError(f"{self._folder}: there is no file {pattern}; data.root must name their folder")
        if len(folders) > 1:
            raise DataError(
                f"{pattern} is found in {folders[0]} and in {folders[1]}; data.root must name one of them"
            )
        return found

    def _pixels(self, splits: tuple[list[Path], list[Path]]) -> tuple[Tensor, str]:
        check_shape(self.shape)
        files = [path for files in splits for path in files]
        count = sum(map(_rows, files))
        if not all(sum(map(_rows, split)) for split in splits):
            raise DataError(f"{self._folder}: a split has no rows; at least one picture in each is needed")
        key = fingerprint(files, self._folder, self.shape, self.image, VERSION)
        return memory_map(
            self.name,
            key,
            (count, *self.shape),
            lambda: decoded(self._pictures(files), count, self.shape, self.name),
        )

    def _pictures(self, files: Sequence[Path]) -> Iterator[tuple[bytes, str]]:
        """Every encoded picture, and where it stands."""
        for path in files:
            with _opened(path) as table:
                _check_column(table, self.image, path, "data.source.image")
                batches = table.iter_batches(100, columns=[self.image])
                cells = chain.from_iterable(batch.column(0).to_pylist() for batch in batches)
                for row, cell in enumerate(cells):
                    where = f"{path}, row {row}"
                    yield _content(cell, where), where

    def _labels(self, files: Sequence[Path]) -> Tensor | None:
        if self.label is None:
            return None
        columns = []
        for path in files:
            with _opened(path) as table:
                _check_column(table, self.label, path, "data.source.label")
                column = table.read(columns=[self.label]).column(0).to_numpy()
            if column.dtype.kind not in "iu":  # nulls make floats
                raise DataError(
                    f"{path}: {self.label} holds {column.dtype}; integers without nulls are needed, or "
                    "data.source.label=null"
                )
            columns.append(column.astype(np.int64))
        return torch.from_numpy(np.concatenate(columns))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
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
    with _opened(path) as table:
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
