"""One run's folder: the source of truth, of which every tracker is only a view."""

import json
import math
import os
import re
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from aelab.errors import ConfigurationError, ResumeError


class Status(StrEnum):
    """Where a run stands; `KILLED` by a signal, which a run may have had no time to record.

    `PRUNED` by a study that had seen enough of it.
    """

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"
    PRUNED = "pruned"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run, written by one process (rank zero) at a time.

    path: the folder; `create` makes a new one and `open` finds an existing one.
    """

    path: Path

    @classmethod
    def create(cls, root: Path, name: str) -> Self:
        """Make `root/name/YYYY-MM-DD_HH-MM-SS` (local time) for a run of this process.

        Two runs never share a folder, however quickly they start: the second takes the suffix -1, and so on.
        Characters of `name` that do not belong in a folder's name become dashes.

        Raises:
            ConfigurationError: `root` cannot be written, or `name` has neither letter nor digit.
        """
        parent = root.resolve() / _sanitised(name)
        stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            run = cls(_claimed(parent, stamp))
            for folder in (run.checkpoints, run.pictures, run.trackers):
                folder.mkdir()
            run.update(status=Status.RUNNING, process=this_process())
        except OSError as error:
            raise ConfigurationError(
                f"The run's folder cannot be made in {parent} ({error.strerror}): choose a writable folder."
            ) from error
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """The existing run at `path`.

        Raises:
            ResumeError: `path` is no run's folder.
        """
        run = cls(path.resolve())
        if not run.record.is_file():
            raise ResumeError(f"{path} is no run folder (it has no record.json): give one that a run made.")
        return run

    @classmethod
    def named(cls, root: Path, name: str) -> list[Self]:
        """The runs that `create` made of this root and name, the newest first."""
        made = (root.resolve() / _sanitised(name)).glob("*/record.json")
        return [cls(record.parent) for record in sorted(made, reverse=True)]

    @property
    def config(self) -> Path:
        """The composed configuration, resolved."""
        return self.path / "config.yaml"

    @property
    def record(self) -> Path:
        """What is known of the run: status, process, and all that `update` was given."""
        return self.path / "record.json"

    @property
    def metrics(self) -> Path:
        """The run's metrics, one JSON object a line; only what the seed determines."""
        return self.path / "metrics.jsonl"

    @property
    def timing(self) -> Path:
        """The run's `time/` metrics, which differ from one execution to the next."""
        return self.path / "timing.jsonl"

    @property
    def patch(self) -> Path:
        """The changes of the source tree against its commit."""
        return self.path / "changes.patch"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def pictures(self) -> Path:
        """The folder of image files."""
        return self.path / "pictures"

    @property
    def evaluations(self) -> Path:
        """What evaluations found, by suite."""
        return self.path / "evaluation.json"

    def evaluation(self, suite: str) -> Path:
        """The folder of a suite's tables and figures."""
        return self.path / "evaluation" / _sanitised(suite)

    @property
    def trackers(self) -> Path:
        """The folder in which trackers keep their own files."""
        return self.path / "trackers"

    def read(self) -> dict[str, Any]:
        """The record.

        Raises:
            ResumeError: record.json is damaged.
        """
        return _object(self.record)

    def update(self, **fields: Any) -> None:
        """Merge `fields` into the record, top level only; NaN and infinities become null.

        A reader, and a process killed at any point, sees the record before or after, never between.
        """
        self._write(self.record, (self.read() if self.record.exists() else {}) | fields)

    def read_evaluations(self) -> dict[str, Any]:
        """What evaluations found, by suite; empty before the first.

        Raises:
            ResumeError: evaluation.json is damaged.
        """
        return _object(self.evaluations) if self.evaluations.exists() else {}

    def update_evaluations(self, **suites: Any) -> None:
        """Put what suites found in the place of what they found before, as `update` does."""
        self._write(self.evaluations, self.read_evaluations() | suites)

    def _write(self, path: Path, fields: Mapping[str, Any]) -> None:
        text = json.dumps(_plain(fields), indent=2, allow_nan=False)
        draft = self.path / f".{path.name}.{os.getpid()}"
        with draft.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def resume(self) -> None:
        """Make the run this process's own, with status `RUNNING`.

        Raises:
            ResumeError: another process is still at work on it.
        """
        process = self.read().get("process") or {}
        if self.status is Status.RUNNING and process != this_process():
            raise ResumeError(
                f"{self.path} is still being run by process {process.get('pid')} on {process.get('host')}: "
                f"wait for it or end it; if its machine is gone, write killed for running in {self.record}."
            )
        self.update(status=Status.RUNNING, process=this_process())

    @property
    def status(self) -> Status:
        """What the record says, or `KILLED` where it says `RUNNING` and the process is gone.

        A process of another machine cannot be looked up from here and counts as alive.
        """
        record = self.read()
        status = Status(record.get("status", Status.KILLED))
        if status is Status.RUNNING and not alive(record.get("process") or {}):
            return Status.KILLED
        return status


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as damage:
        raise ResumeError(f"{path} is damaged ({damage}): restore it or start anew.") from damage
    if not isinstance(found, dict):
        raise ResumeError(f"{path} holds no JSON object: restore it, or start a new run.")
    return found


def _claimed(parent: Path, stamp: str) -> Path:
    path, attempt = parent / stamp, 0
    while True:
        try:
            path.mkdir()
            return path
        except FileExistsError:
            attempt += 1
            path = parent / f"{stamp}-{attempt}"


def _sanitised(name: str) -> str:
    # 200 bytes leave room below the 255 that file systems allow; a cut character is dropped whole.
    kept = re.sub(r"[^\w.+=,-]+", "-", name).encode()[:200].decode(errors="ignore").strip(".-")
    if not re.search(r"[^\W_]", kept):
        raise ConfigurationError(f"The run's name {name!r} makes no folder name: give it a letter or digit.")
    return kept


def _plain(value: Any) -> Any:
    """`value` with everything that JSON cannot hold, and that a record may hold, replaced."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def this_process() -> dict[str, Any]:
    """What tells this process from every other: host, number, and when it began."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}


def alive(process: Mapping[str, Any]) -> bool:
    """Whether a process still runs; one of another machine cannot be looked up and counts as alive."""
    if process.get("host") != socket.gethostname():
        return bool(process)
    # The start time tells the run's process from a later one that was given the same number.
    return process.get("started") is not None and process["started"] == _started(process["pid"])


def _started(pid: int) -> str | None:
    """When a process began, in the system's own words; None where no such process lives."""
    if Path("/proc/self/stat").exists():
        try:
            # After the command, which may hold spaces and brackets: the state first, the start 19 further on.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return answer.stdout.strip() or None
