"""The importance of a sweep's settings for a metric: permutation importance in a forest of regression trees
(Breiman 2001, https://doi.org/10.1023/A:1010933404324).

A forest learns the metric from the settings; a setting matters as much as the forest's predictions worsen
when the setting's values are shuffled among the configurations. It holds for the region that was swept and
for settings that vary independently: two that always change together share their importance between them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aelab.core.checks import is_number

Predict = Callable[[np.ndarray], np.ndarray]

FEWEST = 8  # configurations, below which a forest learns nothing
TREES, SHUFFLES = 100, 10


@dataclass(frozen=True)
class Importance:
    """The importance of one setting.

    share: of the variance that is lost when the setting is shuffled.  deviation: over shuffles.
    """

    name: str
    share: float
    deviation: float


@dataclass(frozen=True)
class Importances:
    """The importances of all settings, the largest first.

    explained: R² on configurations that a tree did not learn from.
    """

    settings: tuple[Importance, ...]
    explained: float


def swept(configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings that a sweep varied: set everywhere, in at least two ways, and no mere name of the
    configuration, as texts are that differ everywhere."""
    known = [{key for key, value in c.items() if value is not None} for c in configurations]
    shared = set.intersection(*known) if known else set()
    varying = [
        key
        for key in (configurations[0] if configurations else ())
        if key in shared and _varies(key, configurations)
    ]
    # Settings that always change together, as those that follow another, would share one importance.
    apart: dict[tuple[int, ...], str] = {}
    for key in varying:
        texts = [text(c[key]) for c in configurations]
        apart.setdefault(tuple(map(texts.index, texts)), key)
    return list(apart.values())


def importances(configurations: Sequence[Mapping[str, Any]], values: Sequence[float]) -> Importances | None:
    """The importances of the swept settings for values (N,), one for each configuration; deterministic.

    None with fewer than `FEWEST` configurations, fewer than two swept settings, or values that are all alike.
    """
    names = swept(configurations)
    target = np.asarray(values, dtype=float)
    if len(configurations) < FEWEST or len(names) < 2 or np.ptp(target) == 0:
        return None
    from sklearn.ensemble import RandomForestRegressor

    columns = np.stack([column([c[name] for c in configurations]) for name in names], axis=1)
    forest = RandomForestRegressor(TREES, oob_score=True, random_state=0).fit(columns, target)
    found = [Importance(name, *_lost(forest.predict, columns, target, i)) for i, name in enumerate(names)]
    return Importances(tuple(sorted(found, key=lambda s: -s.share)), float(forest.oob_score_))


def _lost(predict: Predict, columns: np.ndarray, target: np.ndarray, i: int) -> tuple[float, float]:
    """R² lost when column i of columns (N, K) is shuffled: mean and deviation over `SHUFFLES`."""
    generator = np.random.default_rng(0)
    shuffled = np.tile(columns, (SHUFFLES, 1, 1))
    shuffled[:, :, i] = generator.permuted(shuffled[:, :, i], axis=1)
    guesses = predict(shuffled.reshape(-1, columns.shape[1])).reshape(SHUFFLES, -1)
    before = np.square(target - predict(columns)).mean()
    lost = (np.square(target - guesses).mean(1) - before) / target.var()
    return float(lost.mean()), float(lost.std())


def column(values: Sequence[Any]) -> np.ndarray:
    """(N,) float: numbers as they are, anything else as its place among the distinct values."""
    if all(is_number(value) for value in values):
        return np.array(values, dtype=float)
    texts = [text(value) for value in values]
    places = {name: i for i, name in enumerate(sorted(set(texts)))}
    return np.array([places[name] for name in texts], dtype=float)


def text(value: object) -> str:
    """A setting as text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _varies(key: str, configurations: Sequence[Mapping[str, Any]]) -> bool:
    values = [c[key] for c in configurations]
    distinct = len({text(value) for value in values})
    return distinct > 1 and (distinct < len(values) or all(map(is_number, values)))
