"""Learning curves of one configuration over its seeds as a mean and a band, thinned for a screen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Curve = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Band:
    """The mean of curves with their lowest and highest values at each step, all (N,)."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def band(curves: Sequence[Curve], points: int = 200) -> Band | None:
    """The curves' mean and range over the steps that all of them reached, at no more than so many points.

    Between its own steps a curve is a straight line; values that are not finite are passed over.
    None where no step is shared.
    """
    cleaned = [curve for curve in map(_finite, curves) if len(curve)]
    if not cleaned:
        return None
    first, last = max(c[0, 0] for c in cleaned), min(c[-1, 0] for c in cleaned)
    steps = np.unique(np.concatenate([c[:, 0] for c in cleaned]))
    steps = _thin(steps[(steps >= first) & (steps <= last)], points)
    if not len(steps):
        return None
    seeds = np.stack([np.interp(steps, c[:, 0], c[:, 1]) for c in cleaned])
    return Band(steps, seeds.mean(0), seeds.min(0), seeds.max(0))


def _finite(curve: Curve) -> np.ndarray:
    """(N, 2), by step; the later of two values at one step, as a resumed run may log one twice."""
    latest = {step: value for step, value in curve if np.isfinite(value)}
    return np.array(sorted(latest.items()), dtype=float).reshape(-1, 2)


def _thin(values: np.ndarray, points: int) -> np.ndarray:
    """At most so many of the values, evenly spread, with the first and the last."""
    if len(values) <= points:
        return values
    return values[np.linspace(0, len(values) - 1, points).round().astype(int)]
