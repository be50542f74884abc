"""MNIST and the data sets published in its form: four IDX files, on disk or downloaded and verified."""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aelab.data.sources.idx_format import GZIP_MAGIC, parse, unpack
from aelab.data.splits import Images, Splits, checksum
from aelab.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IdxFile:
    """One file of a data set and what is known of its contents.

    name: without ".gz"; on disk the file may be plain or gzip.
    unpacked: md5 of the bytes inside, checked always.
    packed: md5 of the published .gz, checked where the file is one.
    """

    name: str
    unpacked: str | None = None
    packed: str | None = None

    def verify(self, content: bytes, where: str) -> bytes:
        """The unpacked bytes of `content`, read from `where`; DataError where a checksum differs."""
        if where.endswith(".gz") or content.startswith(GZIP_MAGIC):
            _compare(content, self.packed, where)
        unpacked = unpack(content, where)
        _compare(unpacked, self.unpacked, where)
        if self.unpacked is None and unpacked is content:
            log.warning("%s is used unverified: only the checksum of its published .gz is known", where)
        return unpacked


class Idx:
    """Four IDX files: `train_images`, `train_labels`, `test_images` and `test_labels`.

    name: the data set's folder, under `root` or in the cache.
    mirrors: URLs of folders that hold the files as .gz, tried in order.
    root: a folder that holds the files, or a folder `name` with them; nothing is downloaded then. None: the
        cache folder (environment variable AELAB_DATA, or the user's), filled from the mirrors.
    """

    def __init__(
        self, name: str, files: Mapping[str, IdxFile], mirrors: Sequence[str], root: str | Path | None = None
    ) -> None:
        self.name = name
        self.files = dict(files)
        self.mirrors = tuple(mirrors)
        self.root = None if root is None else Path(root).expanduser()

    def prepare(self) -> None:
        """Download what is missing; DataError naming the files and the folder where that fails."""
        missing = [file for file in self.files.values() if self._find(file) is None]
        if missing and self.root is not None:
            raise DataError(self._wanted(missing, "they are missing"))
        for file in missing:
            self._download(file, missing)

    def load(self) -> Splits:
        """Read and verify all four files: about 0.5 s for 70,000 images of 28x28."""
        arrays, checksums = {}, {}
        for role, file in self.files.items():
            path = self._path(file)
            content = file.verify(_bytes(path), str(path))
            arrays[role], checksums[file.name] = parse(content, str(path)), checksum(content)
        return Splits(self._images(arrays, "train"), self._images(arrays, "test"), checksums)

    @property
    def folder(self) -> Path:
        """Where the files are, or shall be."""
        if self.root is None:
            import pooch

            return Path(os.environ.get("AELAB_DATA") or pooch.os_cache("aelab")) / self.name
        return self.root / self.name if (self.root / self.name).is_dir() else self.root

    def _find(self, file: IdxFile) -> Path | None:
        candidates = (self.folder / file.name, self.folder / f"{file.name}.gz")
        return next((path for path in candidates if path.is_file()), None)

    def _path(self, file: IdxFile) -> Path:
        path = self._find(file)
        if path is None:
            raise DataError(self._wanted([file], "they are missing"))
        return path

    def _images(self, arrays: Mapping[str, np.ndarray], split: str) -> Images:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        if images.dtype != np.uint8 or images.ndim != 3 or labels.shape != images.shape[:1]:
            raise DataError(
                f"{self.folder}: the {split} files hold {images.dtype} images {images.shape} and labels "
                f"{labels.shape}; uint8 images (N, H, W) and labels (N,) are needed"
            )
        return Images(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))

    def _download(self, file: IdxFile, missing: Sequence[IdxFile]) -> None:
        import pooch

        packed = f"{file.name}.gz"
        failures = []
        for mirror in self.mirrors:
            url = mirror.rstrip("/") + "/" + packed
            try:
                pooch.retrieve(url, None, packed, self.folder, downloader=_verified(file))
                return
            except DataError as error:
                failures.append(str(error))
            except OSError as error:
                failures.append(f"{mirror}: {type(error).__name__}")
        raise DataError(self._wanted(missing, "no mirror served them: " + "; ".join(failures)))

    def _wanted(self, files: Sequence[IdxFile], why: str) -> str:
        names = ", ".join(file.name for file in files)
        where = f"into {self.folder}" + (", or anywhere with data.root=FOLDER" if self.root is None else "")
        return f"{self.name}: put {names}, plain or .gz, {where} ({why})"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); make it readable") from error


def _compare(content: bytes, expected: str | None, where: str) -> None:
    found = checksum(content)
    if expected is not None and found != f"md5:{expected}":
        raise DataError(
            f"{where}: wrong checksum, expected md5:{expected}, found {found}; the published file is needed"
        )


def _verified(file: IdxFile) -> Callable[[str, str, Any], None]:
    """A downloader that fails on wrong contents, so that pooch never gives them the final name."""
    import pooch

    fetch = pooch.HTTPDownloader(progressbar=sys.stderr.isatty())

    def download(url: str, output: str, manager: Any) -> None:
        fetch(url, output, manager)
        file.verify(Path(output).read_bytes(), url)

    return download
