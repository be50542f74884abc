"""The agreement of two finished runs: bit for bit, within a tolerance, or not, and then in what."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from aelab.core.checks import is_number
from aelab.core.errors import RunError
from aelab.core.text import printable
from aelab.runs.folder import RunFolder
from aelab.training.checkpoints import is_whole, load, resume_points


class Verdict(Enum):
    """The verdicts on a reproduction, from the best to the worst, each with its words and exit code."""

    BIT_EQUAL = ("bit-equal", 0)
    WITHIN = ("within tolerance", 2)
    IMPOSSIBLE = ("cannot be reproduced", 1)
    DIFFERENT = ("different", 3)

    def __init__(self, words: str, code: int) -> None:
        self.words, self.code = words, code

    @classmethod
    def worst(cls, verdicts: list["Verdict"]) -> "Verdict":
        """The last of them in the order above."""
        return max(verdicts, key=list(cls).index)


@dataclass(frozen=True)
class Tolerance:
    """The allowed difference of a test metric: `absolute` + `relative` times its recorded size."""

    relative: float
    absolute: float

    def __post_init__(self) -> None:
        if not (0 <= self.relative < math.inf and 0 <= self.absolute < math.inf):
            raise RunError("tolerance.relative and tolerance.absolute must be finite and not negative")

    def holds(self, recorded: float, again: float) -> bool:
        """Whether `again` is close enough to what was recorded."""
        return abs(again - recorded) <= self.absolute + self.relative * abs(recorded)


@dataclass(frozen=True)
class Agreement:
    """The verdict on a run that was trained again, with its reasons.

    why: a sentence for each thing that differs. notes: what could not be compared.
    largest: of each test metric that differs, the difference relative to its recorded size.
    """

    verdict: Verdict
    why: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    largest: dict[str, float] = field(default_factory=dict)


def compare(recorded: RunFolder, again: RunFolder, tolerance: Tolerance | None) -> Agreement:
    """Compare weights, logged metrics and test metrics; tolerance: None where bits are asked for.

    A tolerance is for the test metrics: weights of equal quality may be far apart.

    Raises RunError as `check_comparable` does.
    """
    check_comparable(recorded)
    pairs = {path.name: (path, again.checkpoints / path.name) for path in _checkpoints(recorded)}
    notes = [] if pairs else ["no checkpoint of the recorded run is left: weights were not compared"]
    why = [sentence for name, pair in pairs.items() if (sentence := _weights(name, *map(_state, pair)))]
    if recorded.metrics.is_file():
        why += _logged(recorded.metrics.read_bytes(), again.metrics.read_bytes())
    else:
        notes.append("metrics.jsonl of the recorded run is gone: it was not compared")
    before, after = (_numbers(run) for run in (recorded, again))
    differing = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    why += [f"{name}: {before.get(name)} recorded, {after.get(name)} here" for name in sorted(differing)]
    largest = {name: _relative(before.get(name), after.get(name)) for name in sorted(differing)}
    return Agreement(_verdict(why, before, after, tolerance), why, notes, largest)


def check_comparable(recorded: RunFolder) -> None:
    """Refuse a run that nothing can be compared with, before it is trained again.

    Raises:
        RunError: it has neither weights nor logged metrics, or a checkpoint of it is damaged.
    """
    checkpoints = _checkpoints(recorded)
    if not checkpoints and not recorded.metrics.is_file():
        raise RunError(f"{recorded.path} has neither checkpoints nor metrics.jsonl: nothing can be compared")
    for path in checkpoints:
        if not is_whole(path):
            raise RunError(f"{path} is damaged: restore it, or remove it to compare the metrics alone")


def _verdict(
    why: list[str], before: Mapping[str, Any], after: Mapping[str, Any], tolerance: Tolerance | None
) -> Verdict:
    if not why:
        return Verdict.BIT_EQUAL
    if tolerance is None or not before or before.keys() != after.keys():
        return Verdict.DIFFERENT
    close = all(
        after[name] == value
        or (is_number(value) and is_number(after[name]) and tolerance.holds(value, after[name]))
        for name, value in before.items()
    )
    return Verdict.WITHIN if close else Verdict.DIFFERENT


def _checkpoints(run: RunFolder) -> list[Path]:
    """The best weights by validation, and the last ones."""
    return [path for path in (run.best, *resume_points(run.checkpoints)[:1]) if path.is_file()]


def _state(path: Path) -> Mapping[str, Any] | None:
    return load(path)["state_dict"] if path.is_file() else None


def _weights(name: str, recorded: Mapping[str, Any] | None, again: Mapping[str, Any] | None) -> str | None:
    """A sentence on the tensors of a checkpoint that differ; None where none does."""
    if recorded is None or again is None:
        return f"{name}: the new run has none"
    if recorded.keys() != again.keys():
        odd = sorted(recorded.keys() ^ again.keys())
        return f"{name}: {len(odd)} tensors are in one of the runs alone, the first {printable(odd[0])}"
    apart = {key: _distance(value, again[key]) for key, value in recorded.items()}
    differing = {key: distance for key, distance in apart.items() if distance is not None}
    if not differing:
        return None
    most = max(differing, key=lambda key: differing[key])
    return (
        f"{name}: {len(differing)} of {len(apart)} tensors differ, most {printable(most)} "
        f"(relative distance {differing[most]:.2g})"
    )


def _distance(a: Any, b: Any) -> float | None:
    """The norm of the difference relative to the recorded norm; None for the same bits."""
    if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)):
        return None if a == b else math.inf
    if a.dtype != b.dtype or a.shape != b.shape:
        return math.inf
    if torch.equal(_bits(a), _bits(b)):
        return None
    distance = (a.double() - b.double()).norm() / a.double().norm()
    return distance.nan_to_num(math.inf, posinf=math.inf).item()


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The bytes of a tensor, in which a NaN equals itself and -0 is not 0."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _logged(recorded: bytes, again: bytes) -> Iterator[str]:
    """A sentence on the first line of metrics.jsonl that differs."""
    if recorded == again:
        return
    lines = [content.splitlines() for content in (recorded, again)]
    pairs = enumerate(zip(*lines, strict=False), start=1)
    where = next((number for number, (a, b) in pairs if a != b), None)
    if where is None:
        yield f"metrics.jsonl: {len(lines[0])} lines recorded, {len(lines[1])} here"
        return
    differing = sum(a != b for a, b in zip(*lines, strict=False))
    first = _first(*(content[where - 1] for content in lines))
    yield f"metrics.jsonl: {differing} lines differ, the first is line {where}{first}"


def _first(recorded: bytes, again: bytes) -> str:
    """The first value of a line that differs; empty where a line is no JSON object."""
    try:
        before, after = json.loads(recorded), json.loads(again)
        keys = [key for key in (before | after) if before.get(key) != after.get(key)]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return ""
    if not keys:
        return ""
    values = [printable(line.get(keys[0])) for line in (before, after)]
    return f" ({printable(keys[0])}: {values[0]} recorded, {values[1]} here)"


def _numbers(run: RunFolder) -> dict[str, Any]:
    """The test metrics by name; None where one was not finite."""
    metrics = run.read().get("metrics")
    if not isinstance(metrics, dict):
        return {}
    plain = {printable(name): value for name, value in metrics.items()}
    return {name: value if is_number(value) else None for name, value in plain.items()}


def _relative(recorded: Any, again: Any) -> float:
    if not (is_number(recorded) and is_number(again)) or recorded == 0:
        return math.inf
    return abs(again - recorded) / abs(recorded)
