"""What a source hands over: observations as whole tensors, with the checksums of what was read."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError

LARGE = 2**28  # bytes of which no second copy is made


@dataclass(frozen=True)
class Observations:
    """N observations and, where they are known, their labels and attributes.

    x: (N, *event), of the type that their kind is stored in: uint8 pixels (C, H, W), float32 vectors (D,).
    y: (N,), int64, or None.
    attributes: (N, A), float32, in [0, 1], or None.
    rows: None where `x` holds these and no others. Else they are a view of a larger `x`: (N,), int64,
        their places in it.
    mapped: whether `x` is a memory map, which is never copied whole and never leaves the disk.
    """

    x: Tensor
    y: Tensor | None = None
    attributes: Tensor | None = None
    rows: Tensor | None = None
    mapped: bool = False

    def __len__(self) -> int:
        return len(self.x if self.rows is None else self.rows)

    def to(self, device: torch.device) -> "Observations":
        """The same observations on `device`; nothing is copied where they are there already, or mapped."""
        if self.mapped or self.x.device == device:
            return self
        if self.rows is not None:
            return self.at(slice(None)).to(device)
        return Observations(self.x.to(device), _to(self.y, device), _to(self.attributes, device))

    def take(self, index: Tensor) -> "Observations":
        """The observations at `index` (K,), in that order; a view where `x` is one, or too large."""
        if self.rows is None and self.x.nbytes < LARGE:
            return self.at(index)
        rows = index if self.rows is None else self.rows[index]
        return replace(self, y=_maybe(self.y, index), attributes=_maybe(self.attributes, index), rows=rows)

    def at(self, part: Tensor | slice) -> "Observations":
        """The observations at `part`, an index (K,) or a slice, with their own x where they were a view."""
        x = _at(self.x, part) if self.rows is None else self.x.index_select(0, self.rows[part])
        return Observations(x, _maybe(self.y, part), _maybe(self.attributes, part))


@dataclass(frozen=True)
class Splits:
    """The published parts of a data set.

    checksums: name of a file, or of a part of one, -> "md5:..." of its unpacked bytes.
    validation: the published validation split, or None where that is for the user to cut.
    notes: what was left aside, and what was done to the rest, in words.
    """

    train: Observations
    test: Observations
    checksums: dict[str, str]
    validation: Observations | None = None
    notes: list[str] = field(default_factory=list)


class Source(Protocol):
    """Where observations come from."""

    def prepare(self) -> None:
        """Make the files present, on one process only; DataError where that is impossible."""

    def load(self) -> Splits:
        """Read everything; DataError where files are missing, damaged or not what they should be."""


def checksum(content: bytes | memoryview) -> str:
    """The form in which contents are recorded and compared: "md5:" and 32 hexadecimal digits."""
    return "md5:" + hashlib.md5(content, usedforsecurity=False).hexdigest()


def checksums_of_rows(**rows: Tensor) -> dict[str, str]:
    """Which rows (N,) of a source are which split, where one set of contents can be cut in many ways."""
    return {f"{split} rows": checksum(index.numpy().tobytes()) for split, index in rows.items()}


def cut(asked: int | float, count: int, option: str, where: str) -> int:
    """How many of `count` the value `asked` of `option` holds out: a number, or a share in (0., 1.).

    ConfigurationError where a split would be left empty.
    """
    share = isinstance(asked, float)
    size = round(asked * count) if share and 0 < asked < 1 else 0 if share else int(asked)
    if not 0 < size < count:
        raise ConfigurationError(
            f"{option}={asked} of {where} leaves a split empty; a number from 1 to {count - 1:,} or a share "
            "between 0. and 1. would work"
        )
    return size


def subset(count: int | None, of: int) -> Tensor:
    """Which `count` of `of` observations stand for all, at random but the same at every call: (K,) int64.

    A smaller subset is the beginning of a larger one. count: None, or as many as there are, gives all.

    >>> subset(2, of=100).tolist() == subset(5, of=100)[:2].tolist()
    True
    """
    return torch.randperm(of, generator=torch.Generator().manual_seed(0))[:count]


def _to(values: Tensor | None, device: torch.device) -> Tensor | None:
    return None if values is None else values.to(device)


def _at(values: Tensor, part: Tensor | slice) -> Tensor:
    return values[part] if isinstance(part, slice) else values.index_select(0, part)


def _maybe(values: Tensor | None, part: Tensor | slice) -> Tensor | None:
    return None if values is None else _at(values, part)
