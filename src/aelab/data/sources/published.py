"""Data sets that were published as files: on disk or downloaded from mirrors, verified in either case."""

import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from aelab.core.errors import DataError
from aelab.core.paths import from_user
from aelab.data.sources.cache import below, folder_of, plain
from aelab.data.sources.idx_format import GZIP_MAGIC, unpack
from aelab.data.splits import Splits, checksum

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedFile:
    """One file of a data set and what is known of its contents.

    name: without ".gz"; on disk the file may be plain or gzip.
    unpacked: md5 of the bytes inside, checked always.
    packed: md5 of the published .gz, checked where the file is one.
    suffix: what mirrors append to the name, ".gz" or nothing.
    """

    name: str
    unpacked: str | None = None
    packed: str | None = None
    suffix: str = ".gz"

    def __post_init__(self) -> None:
        plain(self.name)
        plain(self.name + self.suffix)

    def verify(self, content: bytes, where: str) -> bytes:
        """The unpacked bytes of `content`, read from `where`; DataError where a checksum differs."""
        if where.endswith(".gz") or content.startswith(GZIP_MAGIC):
            _compare(content, self.packed, where)
        unpacked = unpack(content, where)
        _compare(unpacked, self.unpacked, where)
        if self.unpacked is None and unpacked is content:
            log.warning("%s is used unverified: only the checksum of its published .gz is known", where)
        return unpacked


class PublishedSource(ABC):
    """A source whose files were published; subclasses say what is in them.

    name: the data set's folder, under `root` or in the cache.
    files: by the roles that the subclass reads.
    mirrors: URLs of folders that hold the files, tried in order.
    root: a folder that holds the files, or a folder `name` with them; nothing is downloaded then. None: the
        cache folder (environment variable AELAB_DATA, or the user's), filled from the mirrors.
    """

    instead: ClassVar[str] = ""  # what else the folder may hold, for the message of missing files

    def __init__(
        self,
        name: str,
        files: Mapping[str, PublishedFile],
        mirrors: Sequence[str],
        root: str | Path | None = None,
    ) -> None:
        self.name = name
        self.files = dict(files)
        self.mirrors = tuple(mirrors)
        self.root = None if root is None else from_user(root)

    @abstractmethod
    def load(self) -> Splits:
        """Read and verify all files."""

    def prepare(self) -> None:
        """Download what is missing; DataError naming the files and the folder where that fails."""
        missing = [file for file in self.files.values() if self._find(file) is None]
        if missing and self.root is not None:
            raise DataError(self._wanted(missing, "they are missing"))
        for file in missing:
            self._download(file, missing)

    @property
    def folder(self) -> Path:
        """Where the files are, or shall be."""
        return folder_of(self.name) if self.root is None else below(self.root, self.name)

    def _content(self, file: PublishedFile) -> bytes:
        """The verified bytes of a file."""
        path = self._find(file)
        if path is None:
            raise DataError(self._wanted([file], "they are missing"))
        return file.verify(_bytes(path), str(path))

    def _find(self, file: PublishedFile) -> Path | None:
        candidates = (self.folder / file.name, self.folder / f"{file.name}.gz")
        return next((path for path in candidates if path.is_file()), None)

    def _download(self, file: PublishedFile, missing: Sequence[PublishedFile]) -> None:
        import pooch

        served = file.name + file.suffix
        failures = []
        for mirror in self.mirrors:
            url = mirror.rstrip("/") + "/" + served
            try:
                pooch.retrieve(url, None, served, self.folder, downloader=_verified(file))
                return
            except DataError as error:
                failures.append(str(error))
            except OSError as error:
                failures.append(f"{mirror}: {type(error).__name__}")
        raise DataError(self._wanted(missing, "no mirror served them: " + "; ".join(failures)))

    def _wanted(self, files: Sequence[PublishedFile], why: str) -> str:
        names = ", ".join(file.name for file in files)
        where = f"into {self.folder}" + (", or anywhere with data.root=FOLDER" if self.root is None else "")
        return f"{self.name}: put {names}, plain or .gz{self.instead}, {where} ({why})"


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


def _verified(file: PublishedFile) -> Callable[[str, str, Any], None]:
    """A downloader that fails on wrong contents, so that pooch never gives them the final name."""
    import pooch

    fetch = pooch.HTTPDownloader(progressbar=sys.stderr.isatty())

    def download(url: str, output: str, manager: Any) -> None:
        fetch(url, output, manager)
        file.verify(Path(output).read_bytes(), url)

    return download
