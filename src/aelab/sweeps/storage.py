"""The storage of studies: a journal, for which a shared folder is enough, or an SQL database."""

import fcntl
import os
from pathlib import Path
from typing import IO

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from aelab.core.errors import SweepError
from aelab.core.paths import from_user
from aelab.core.text import first_line

JOURNAL = b'{"op_code":'  # how every line of Optuna's journal begins


class KernelLock(BaseJournalFileLock):
    """A lock that ends with its process, and that repairs a journal whose last line a kill has cut.

    Optuna's own is a file, which a killed process leaves behind, and a line after a cut one spoils both.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the journal and cut an unfinished line off its end."""
        self._file = self._journal.open("r+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        _cut_unfinished_line(self._file)
        return True

    def release(self) -> None:
        """Release the journal to the next process."""
        assert self._file is not None
        self._file.close()


def _cut_unfinished_line(file: IO[bytes]) -> None:
    end, block = file.seek(0, os.SEEK_END), 4096
    kept = end
    while kept > 0:
        begin = max(0, kept - block)
        file.seek(begin)
        newline = file.read(kept - begin).rfind(b"\n")
        if newline >= 0:
            kept = begin + newline + 1
            break
        kept = begin
    if kept < end:
        file.truncate(kept)


def open_storage(where: str | None, folder: Path) -> BaseStorage:
    """The storage at a database's URL or a journal's path; by default a journal in `folder`.

    Raises SweepError where it cannot be reached, or is something else.
    """
    if where and "://" in where:
        return _database(where)
    return _journal(from_user(where or folder / "journal.log"))


def displayed(where: str | None, folder: Path) -> str:
    """The place of a storage as users see it, without a password."""
    if where and "://" in where:
        from sqlalchemy.engine import make_url

        return make_url(where).render_as_string(hide_password=True)
    return where or str(folder / "journal.log")


def _journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        _check_journal(path)
        return JournalStorage(JournalFileBackend(str(path), KernelLock(path)))
    except OSError as error:
        raise SweepError(f"sweep.storage: {path} cannot be written ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SweepError(
            f"sweep.storage: {path} is no journal of studies, or a damaged one: {error}"
        ) from error


def _check_journal(path: Path) -> None:
    with path.open("rb") as file:
        begin = file.read(len(JOURNAL))
    if not JOURNAL.startswith(begin):
        raise ValueError("it begins otherwise")


def _database(url: str) -> BaseStorage:
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        place = displayed(url, Path())
    except ArgumentError as error:
        raise SweepError("sweep.storage is no database's URL: give scheme://user@host/database") from error
    try:
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        raise SweepError(f"sweep.storage: {place} cannot be reached: {first_line(error)}") from error
