"""The importance of a sweep's settings for a metric: permutation importance in a forest of regression trees
(Breiman 2001, https://doi.org/10.1023/A:1010933404324).

A forest learns the metric from the settings; a setting matters as much as predictions worsen when its values
are shuffled among the configurations. Each configuration is predicted by the trees that did not learn from
it, so that a setting of no effect gets nothing for what a forest has learnt by heart. It holds for the region
that was swept and for settings that vary independently.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aelab.core.checks import is_number

FEWEST = 8  # configurations, below which a forest learns nothing
TREES, SHUFFLES = 200, 10


@dataclass(frozen=True)
class Importance:
    """The importance of one setting.

    share: of the metric's variance that the setting decides, alone and with others: half of the R² that is
    lost when it is shuffled, which tends to its total Sobol index (Gregorutti et al. 2017,
    https://doi.org/10.1007/s11222-016-9646-1). Below 0 by chance alone.  deviation: over shuffles.
    """

    name: str
    share: float
    deviation: float


@dataclass(frozen=True)
class Importances:
    """The importances of all settings, the largest first.

    explained: R² of the predictions of configurations by the trees that did not learn from them.
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
    apart: list[str] = []
    for key in varying:
        values = [c[key] for c in configurations]
        if not any(_one_setting([c[other] for c in configurations], values) for other in apart):
            apart.append(key)
    return apart


def _one_setting(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two settings always change together, so that they would share one importance.

    Numbers do where they rise with one another, or one falls as the other rises: that all values are
    different, as of a random search, or that pairs of them are tried again with other settings makes none a
    function of the other. What is no number does where each value of one belongs to a single value of the
    other.
    """
    places_a, places_b = ([texts.index(t) for t in texts] for texts in (list(map(text, v)) for v in (a, b)))
    if places_a != places_b:
        return False
    if not all(map(is_number, (*a, *b))):
        return True
    order = np.argsort(a, kind="stable")
    steps = np.diff(np.asarray(b, dtype=float)[order])
    return bool((steps >= 0).all() or (steps <= 0).all())


def importances(configurations: Sequence[Mapping[str, Any]], values: Sequence[float]) -> Importances | None:
    """The importances of the swept settings for values (N,), one for each configuration; deterministic.

    None with fewer than `FEWEST` configurations, fewer than two swept settings, or values that are all alike.
    """
    names = swept(configurations)
    target = np.asarray(values, dtype=float)
    if len(configurations) < FEWEST or len(names) < 2 or np.ptp(target) == 0:
        return None
    from sklearn.ensemble import RandomForestRegressor

    parts = [columns([c[name] for c in configurations]) for name in names]
    forest = RandomForestRegressor(TREES, random_state=0).fit(np.concatenate(parts, 1), target)
    unseen = np.ones((TREES, len(target)), dtype=bool)
    for rows, tree in zip(forest.estimators_samples_, unseen, strict=True):
        tree[rows] = False
    shuffled = _shuffled(parts)
    guesses = np.stack([tree.predict(np.concatenate(shuffled)) for tree in forest.estimators_])
    guesses = guesses.reshape(TREES, -1, len(target))
    told = unseen.any(0)  # all but those of which every tree saw a copy: of hundreds of trees, none
    means = (guesses * unseen[:, None]).sum(0)[:, told] / unseen.sum(0)[told]
    plain, *lost = np.square(target[told] - means).mean(1) / target[told].var()
    shares = (np.reshape(lost, (len(names), SHUFFLES)) - plain) / 2
    found = [
        Importance(name, float(of.mean()), float(of.std())) for name, of in zip(names, shares, strict=True)
    ]
    return Importances(tuple(sorted(found, key=lambda s: -s.share)), float(1 - plain))


def _shuffled(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Columns (N, C) of all settings as they are, and `SHUFFLES` times with those of each one shuffled."""
    generator = np.random.default_rng(0)
    found = [np.concatenate(parts, 1)]
    for i in range(len(parts)):
        for _ in range(SHUFFLES):
            found.append(np.concatenate([*parts[:i], generator.permutation(parts[i]), *parts[i + 1 :]], 1))
    return found


def columns(values: Sequence[Any]) -> np.ndarray:
    """(N, C) float: numbers as they are, in one column; anything else as a column for each distinct value,
    which has no order."""
    if all(is_number(value) for value in values):
        return np.array(values, dtype=float)[:, None]
    texts = [text(value) for value in values]
    return np.stack([[float(each == name) for each in texts] for name in sorted(set(texts))], axis=1)


def text(value: object) -> str:
    """A setting as text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _varies(key: str, configurations: Sequence[Mapping[str, Any]]) -> bool:
    values = [c[key] for c in configurations]
    distinct = len({text(value) for value in values})
    return distinct > 1 and (distinct < len(values) or all(map(is_number, values)))
