"""A finished run as its folder records it, checked: the folder is data, and may come from anywhere."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aelab.config.recorded import MOST_THREADS
from aelab.core.environment import Difference, Environment
from aelab.core.errors import RunError
from aelab.core.text import printable
from aelab.core.untrusted import read_bytes
from aelab.runs.folder import RunFolder, Status


@dataclass(frozen=True)
class RecordedRun:
    """The parts of a run's record that are needed to train it again, apart from its configuration.

    commit: None where the run was not made in a git checkout. version: of aelab.
    patch: what differed from the commit. unrecorded: what differed from it and is not in the patch.
    continued: where a resume went on by other code, packages or machine.
    """

    folder: RunFolder
    environment: Environment
    commit: str | None
    version: str | None
    patch: bytes
    unrecorded: list[str]
    continued: list[str]

    def gaps(self) -> list[Difference]:
        """The changes of the code that the record lacks, or that came while it ran, as differences."""
        lacking = [Difference("uncommitted", name, "not in the record", True) for name in self.unrecorded]
        return lacking + [Difference("continued", how, "uninterrupted", True) for how in self.continued]


def read_recorded_run(path: Path) -> RecordedRun:
    """The record of a finished run.

    Raises:
        RunError: it is none, did not finish, or its record is not what a run writes.
    """
    folder = RunFolder.open(path)
    try:
        record = folder.read()
        patch = read_bytes(folder.patch) if folder.patch.is_file() else b""
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error}): give a run as it was recorded") from error
    status = record.get("status")
    if status != Status.FINISHED:
        raise RunError(
            f"{path} did not finish (its record says {printable(status)}), so there is no result to "
            "compare with: finish it with aelab train resume=FOLDER"
        )
    folder.check_seals()
    git = _optional(folder, record, "git")
    packages = _object(folder, record, "packages")
    return RecordedRun(
        folder=folder,
        environment=environment_of(folder, record),
        commit=None if git is None else _commit(folder, git),
        version=packages.get("aelab"),
        patch=patch,
        unrecorded=[] if git is None else list(_unrecorded(git, patch)),
        continued=[
            printable(f"at step {entry.get('step')} by {', '.join(map(str, entry['differing']))}")
            for entry in record.get("continued", [])
            if isinstance(entry.get("differing"), list)
        ],
    )


def environment_of(folder: RunFolder, record: Mapping[str, Any]) -> Environment:
    """The environment in a record; RunError where it is not what a run writes."""
    threads = record.get("threads")
    if not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
        raise _odd(folder, "threads")
    matmul = record.get("float32_matmul_precision")
    return Environment(
        packages=_object(folder, record, "packages"),
        hardware=_object(folder, record, "hardware"),
        threads=threads,
        checksums=_object(folder, _object(folder, record, "data"), "checksums"),
        matmul=None if matmul is None else str(matmul),
    )


def _commit(folder: RunFolder, git: Mapping[str, Any]) -> str:
    commit = git.get("commit")
    if not isinstance(commit, str):
        raise RunError(
            f"{folder.path} was made before its repository had a commit, so none can be checked out"
        )
    return commit


def _unrecorded(git: Mapping[str, Any], patch: bytes) -> Iterator[str]:
    left_out = git.get("left_out")
    names = left_out if isinstance(left_out, list) else []
    yield from (printable(name) for name in names)
    if git.get("dirty") and not patch and not names:
        yield "changes of the source"


def _object(folder: RunFolder, record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = _optional(folder, record, key)
    if found is None:
        raise _odd(folder, key)
    return found


def _optional(folder: RunFolder, record: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    found = record.get(key)
    if found is not None and not isinstance(found, dict):
        raise _odd(folder, key)
    return found


def _odd(folder: RunFolder, key: str) -> RunError:
    return RunError(f"{folder.record} has no usable {key}: give a run as it was recorded")
