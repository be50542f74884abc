"""The run's own metrics: lines of JSON that a resume can cut back to the byte."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from aelab.core.errors import ResumeError, RunError
from aelab.core.untrusted import open_file

METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
EMPTY = [0, hashlib.sha256().hexdigest()]  # what a checkpoint has seen of a file that was not there yet
BLOCK = 1 << 20


class JsonLines(Logger):
    """Appends each set of metrics as one line to `metrics.jsonl`, flushed at once.

    Keys that begin with `time/` go to `timing.jsonl` instead, so that the first file holds only what the seed
    determines and two runs can be compared byte for byte. Keys keep the order given, floats all their digits;
    NaN and infinities become the strings "nan", "inf" and "-inf", which `float` reads back.

    Unlike a tracker this is the truth: a line that cannot be written raises. Only rank zero writes.

    folder: the run's folder.  name, run_id: shown to Lightning.
    """

    def __init__(self, folder: Path, name: str, run_id: str) -> None:
        self._folder = folder
        self._name = name
        self._run_id = run_id
        self._files: dict[str, IO[bytes]] = {}
        self._digests: dict[str, Any] = {}  # of what the files hold, as far as this process has written it

    @property
    def name(self) -> str:
        """The run's name."""
        return self._name

    @property
    def version(self) -> str:
        """The run's id."""
        return self._run_id

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self._folder)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Append `metrics` (floats, integers or scalar tensors, by name) as they stood at `step`."""
        timing = {key: value for key, value in metrics.items() if key.startswith("time/")}
        self._append(METRICS, {key: value for key, value in metrics.items() if key not in timing}, step)
        self._append(TIMING, timing, step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run's folder holds the configuration."""

    def log_picture(self, name: str, path: Path, step: int, caption: str = "") -> None:
        """Do nothing: the run's folder holds the pictures."""

    def position(self) -> dict[str, Any]:
        """The length of each file in bytes and the SHA-256 of them, to be kept in a checkpoint."""
        if getattr(rank_zero_only, "rank", 0):
            return {}
        return {
            name: [_size(self._folder / name), self._digest(name).hexdigest()] for name in (METRICS, TIMING)
        }

    @rank_zero_only
    def truncate(self, position: Mapping[str, Any]) -> None:
        """Cut both files back to `position`, and with it whatever a kill left after the checkpoint.

        Raises:
            ResumeError: a file is shorter than the checkpoint saw it, or begins otherwise; both are then left
                as they are.
        """
        lengths = {
            name: _checked(self._folder / name, position.get(name, EMPTY)) for name in (METRICS, TIMING)
        }
        self._digests.clear()
        for name, length in lengths.items():
            if (path := self._folder / name).exists():
                with open_file(path, "r+b", os.O_RDWR) as file:
                    file.truncate(length)

    def finish(self, exit_code: int) -> None:
        """Close the files; a later line opens them again."""
        while self._files:
            self._files.popitem()[1].close()

    def hint(self) -> None:
        """Nothing is left for the user to do."""

    def _append(self, name: str, metrics: Mapping[str, Any], step: int | None) -> None:
        if not metrics:
            return
        if name not in self._files:
            self._files[name] = open_file(self._folder / name, "ab", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        row = {"step": step, **{key: _number(value) for key, value in metrics.items()}}
        line = json.dumps(row, allow_nan=False).encode() + b"\n"
        self._digest(name).update(line)
        self._files[name].write(line)
        self._files[name].flush()

    def _digest(self, name: str) -> Any:
        """The digest of all that a file holds, which grows with it."""
        if name not in self._digests:
            path = self._folder / name
            self._digests[name] = digest_of_start(path, _size(path))
        return self._digests[name]


def _checked(path: Path, seen: Any) -> int:
    """The length of what a checkpoint saw of a file, which is still there; ResumeError where it is not."""
    if not isinstance(seen, list | tuple) or list(map(type, seen)) != [int, str]:
        raise ResumeError(f"the checkpoint does not say what it saw of {path}: start the run anew")
    length, digest = seen
    if not 0 <= length <= _size(path):
        raise ResumeError(
            f"{path} holds {_size(path)} bytes where the checkpoint saw {length}: restore the file."
        )
    if digest_of_start(path, length).hexdigest() != digest:
        raise ResumeError(f"{path} was changed since the checkpoint saw it: restore the file, or start anew")
    return int(length)


def digest_of_start(path: Path, length: int) -> Any:
    """The SHA-256 of the first bytes of a file, which may be missing where these are none."""
    digest = hashlib.sha256()
    if not length:
        return digest
    with open_file(path) as file:
        while length > 0 and (block := file.read(min(length, BLOCK))):
            digest.update(block)
            length -= len(block)
    return digest


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal, non-finite numbers as floats again; a torn last line is passed over.

    An absent file has no lines. Raises RunError for one that no run wrote.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _row(line, path)


def _row(line: bytes, path: Path) -> dict[str, Any]:
    try:
        return {key: _value(value) for key, value in json.loads(line).items()}
    except (ValueError, AttributeError, RecursionError) as damage:
        raise RunError(f"{path} is damaged ({damage}): restore it") from damage


def _number(value: Any) -> float | int | str:
    number = value.item() if hasattr(value, "item") else value
    return number if math.isfinite(number) else str(number)


def _value(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
