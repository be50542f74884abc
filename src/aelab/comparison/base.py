"""The parts of a comparison: runs, groups of runs that differ in their seed alone, and their statistics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aelab.core.quantity import Quantity

Repeat = tuple[int, int]


@dataclass(frozen=True)
class RunSummary:
    """The contents of one run's folder, as plain values.

    settings: the configuration without seed, fold and what does not affect results, by dotted key.
    values: finite numbers by name, "test/elbo" of record.json or "SUITE/part/estimate" of evaluation.json.
    quantities: the facts of each value. error: why the run did not finish; None where it did.
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
        """Seed and fold, in which the repetitions of one configuration differ."""
        return self.seed, self.fold


@dataclass(frozen=True)
class MetricSummary:
    """The statistics of one metric over the seeds of one group.

    values: one for each seed, in the order of the seeds.
    interval: of the mean, by bootstrap over seeds. rank: among the groups, 1 the best, on average over ties.
    p: of the paired test against the baseline, corrected for all comparisons of this metric; None for the
    baseline itself and where fewer than two seeds are shared. best: better than all others, significantly.
    lost: the repetitions without a value, which may have failed for being bad: their group is never best.
    note: what is missing and why, as an interval of two seeds.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float | None = None
    interval: tuple[float, float] | None = None
    rank: float | None = None
    p: float | None = None
    best: bool = False
    lost: int = 0
    note: str = ""


@dataclass(frozen=True)
class Budget:
    """The resources of a group's runs, each as the distinct values among them: one where all are alike."""

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
    """The runs of one configuration.

    runs: the finished ones, by seed. failed: the others. lost: how many repetitions have no finished run.
    """

    name: str
    differing: Mapping[str, Any]
    runs: tuple[RunSummary, ...]
    failed: tuple[RunSummary, ...]
    budget: Budget
    summaries: Mapping[str, MetricSummary] = field(default_factory=dict)
    lost: int = 0


@dataclass(frozen=True)
class Comparison:
    """The groups of runs, compared by metrics.

    baseline: the name of the group that the others are tested against.
    flags: sentences on differences between groups beyond their settings (data, budget, hardware).
    skipped: folders that could not be read -> why.
    """

    groups: tuple[Group, ...]
    metrics: tuple[Quantity, ...]
    baseline: str
    flags: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
