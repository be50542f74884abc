"""The run's own metrics: lines of JSON that a resume can cut back to the byte."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from aelab.core.errors import ResumeError

METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"


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
        self._files: dict[str, BinaryIO] = {}

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

    def log_picture(self, name: str, path: Path, step: int) -> None:
        """Do nothing: the run's folder holds the pictures."""

    def position(self) -> dict[str, int]:
        """The length of each file in bytes, to be kept in a checkpoint."""
        return {name: _size(self._folder / name) for name in (METRICS, TIMING)}

    @rank_zero_only
    def truncate(self, position: Mapping[str, int]) -> None:
        """Cut both files back to `position`, and with it whatever a kill left after the checkpoint.

        Raises:
            ResumeError: a file is shorter than the checkpoint saw it; both are then left as they are.
        """
        lengths = {self._folder / name: position.get(name, 0) for name in (METRICS, TIMING)}
        for path, length in lengths.items():
            if not 0 <= length <= _size(path):
                raise ResumeError(
                    f"{path} holds {_size(path)} bytes where the checkpoint saw {length}: restore the file."
                )
        for path, length in lengths.items():
            if path.exists():
                with path.open("r+b") as file:
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
            self._files[name] = (self._folder / name).open("ab")
        row = {"step": step, **{key: _number(value) for key, value in metrics.items()}}
        self._files[name].write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self._files[name].flush()


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal, non-finite numbers as floats again; a torn last line is passed over.

    An absent file has no lines.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield {key: _value(value) for key, value in json.loads(line).items()}


def _number(value: Any) -> float | int | str:
    number = value.item() if hasattr(value, "item") else value
    return number if math.isfinite(number) else str(number)


def _value(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
