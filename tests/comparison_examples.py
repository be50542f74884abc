"""Small comparisons, made by hand."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from PIL import Image

from aelab.comparison.base import Budget, Comparison, Group, MetricSummary, RunSummary
from aelab.core.quantity import Quantity

METRICS = (
    Quantity("test/elbo", "nats", True),
    Quantity("test/kl", "nats"),
    Quantity("test/distortion", "nats", False),
    Quantity("quick/generation/frechet", "", False),
)


def picture(file: Path, size: tuple[int, int] = (60, 30), colour: bool = False) -> Path:
    """A PNG of noise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if colour else (size[1], size[0])
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).save(file)
    return file


def run(name: str, seed: int, level: float, folder: Path) -> RunSummary:
    """A finished run around a level, with a curve of 50 points and two pictures."""
    path = folder / f"{seed}"
    values = {metric.name: level + 10 * k + seed / 10 for k, metric in enumerate(METRICS)}
    curve = tuple((step, level - 100 / (step + 1) + seed) for step in range(50))
    pictures = {kind: picture(path / f"{kind}.png") for kind in ("reconstructions", "samples")}
    return RunSummary(path, name, seed, "finished", None, {}, values, {}, {"val/elbo": curve}, pictures)


def group(name: str, place: int, folder: Path, seeds: int = 3) -> Group:
    """Of several seeds; the place decides its numbers and settings."""
    runs = tuple(run(name, seed, place, folder / f"group{place}") for seed in range(seeds))
    budget = Budget(
        (1000 * (place + 1),), (500,), (64000,), (1e9,), (10.0 + place,), ("CPU",), ("abc",), ("md5",)
    )
    summaries = {metric.name: summary([r.values[metric.name] for r in runs]) for metric in METRICS if runs}
    differing = {"beta": float(place), "network": ("mlp", "conv")[place % 2]}
    return Group(name, differing, runs, (), budget, summaries)


def summary(values: list[float]) -> MetricSummary:
    deviation = stdev(values) if len(values) > 1 else None
    return MetricSummary(tuple(values), fmean(values), deviation, (min(values), max(values)), 1.0, 0.04)


def comparison(folder: Path, names: list[str]) -> Comparison:
    """One group for each name; the last has the highest numbers, the first is the baseline."""
    groups = tuple(group(name, place, folder) for place, name in enumerate(names))
    return Comparison(groups, METRICS, names[0], ("flagged",), {"/some/folder": "no record.json"})


def with_failure(found: Comparison, error: str) -> Comparison:
    """The same, where one more run of the first group did not finish."""
    first = found.groups[0]
    failed = replace(first.runs[0], seed=9, status="failed", error=error)
    return replace(found, groups=(replace(first, failed=(failed,)), *found.groups[1:]))
