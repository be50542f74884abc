"""What a comparison is made of: runs, groups of them that differ in their seed alone, and what was found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aelab.core.quantity import Quantity

Repeat = tuple[int, int]


@dataclass(frozen=True)
class Run:
    """One run's folder, as plain values.

    settings: the configuration minus seed, fold and what decides nothing, by dotted key.
    values: finite numbers by name, "test/elbo" of record.json or "SUITE/part/estimate" of evaluation.json.
    quantities: what each of the values is, as the folder says. error: why it did not finish, None where it
    did.
    curves: (step, value) by the name of a logged metric, of metrics.jsonl.
    fold: of the training images that were left to validation, where there are several; else 0.
    pictures: files by stable names, as "reconstructions", "samples", "traversals".
    """

    path: Path
    name: str
    seed: int
    status: str
    error: str | None
    settings: Mapping[str, Any]
    values: Mapping[str, float]
    record: Mapping[str, Any]
    curves: Mapping[str, tuple[tuple[int, float], ...]]
    pictures: Mapping[str, Path]
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    fold: int = 0

    @property
    def repeat(self) -> Repeat:
        """Seed and fold: what tells the repetitions of one configuration apart."""
        return self.seed, self.fold


@dataclass(frozen=True)
class Summary:
    """One metric over the seeds of one group.

    values: one for each seed, in the order of the seeds.
    interval: of the mean, by bootstrap over seeds. rank: among the groups, 1 the best, on average over ties.
    p: of the paired test against the baseline, corrected for all comparisons of this metric; None for the
    baseline itself and where fewer than two seeds are shared. best: better than all others, significantly.
    note: what is missing and why, as an interval of two seeds.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float | None = None
    interval: tuple[float, float] | None = None
    rank: float | None = None
    p: float | None = None
    best: bool = False
    note: str = ""


@dataclass(frozen=True)
class Budget:
    """What a group's runs had and used, each as the distinct values of its runs: one where all are alike."""

    parameters: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()
    samples_seen: tuple[int, ...] = ()
    flops: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    hardware: tuple[str, ...] = ()
    commit: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Runs of one configuration; runs: the finished ones, by seed; failed: the others."""

    name: str
    differing: Mapping[str, Any]
    runs: tuple[Run, ...]
    failed: tuple[Run, ...]
    budget: Budget
    summaries: Mapping[str, Summary] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Groups and what was found of them.

    baseline: the name of the group that the others are tested against.
    flags: sentences on what makes groups differ in more than what is compared (data, budget, hardware).
    skipped: folders that could not be read -> why.
    """

    groups: tuple[Group, ...]
    metrics: tuple[Quantity, ...]
    baseline: str
    flags: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
