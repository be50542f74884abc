"""The elbow of a study: the objective against one number that it varies, and the value to take."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from aelab.core.files import atomic
from aelab.figures.panels import Choice, Panel, against
from aelab.sweeps.plan import Plan
from aelab.sweeps.repeats import standard_error
from aelab.sweeps.search_space import Parameter, Range, is_whole

BESIDE = {"val/distortion": "distortion, nats", "val/kl": "kl, nats"}
"""The measured numbers that are drawn beside the objectives where all trials have them, with their labels."""


@dataclass(frozen=True)
class Point:
    """The best trial of one value.

    value: of the number that is varied.  mean, error: of the objective; error is None for a single training.
    """

    value: float
    mean: float
    error: float | None
    trial: FrozenTrial


@dataclass(frozen=True)
class Selection:
    """The value to take, the best one, and the bound that decided.

    bound: the least good mean that counted as equal to the best; None where only the best counted.
    """

    point: Point
    best: Point
    bound: float | None


def best_of_each(trials: Iterable[FrozenTrial], name: str, objective: str, maximize: bool) -> list[Point]:
    """For each value of a number, ascending, the trial that is best by the first objective."""
    found: dict[float, Point] = {}
    for trial in trials:
        value = _value(trial, name)
        if trial.state is not TrialState.COMPLETE or value is None:
            continue
        mean = trial.values[0]
        rival = found.get(value)
        if rival is None or (mean > rival.mean if maximize else mean < rival.mean):
            error = trial.user_attrs.get("errors", {}).get(objective)
            found[value] = Point(value, mean, error, trial)
    return [found[value] for value in sorted(found)]


def choose(points: Sequence[Point], maximize: bool, smallest: bool) -> Selection:
    """The best point; or the smallest whose mean is within one standard error of the best one's.

    The rule of one standard error is from Breiman, Friedman, Olshen and Stone 1984: what is simpler is
    preferred to what is better by chance. It needs an error of the best point; without one the best is taken.
    """
    sign = 1 if maximize else -1
    best = max(points, key=lambda point: sign * point.mean)
    if not smallest or best.error is None:
        return Selection(best, best, None)
    bound = best.mean - sign * best.error
    return Selection(next(p for p in points if sign * p.mean >= sign * bound), best, bound)


def elbow(plan: Plan, trials: Sequence[FrozenTrial], folder: Path) -> tuple[Selection, Path] | str:
    """Draw `elbow.png` in a study's folder; the choice and the picture's path, or why there is none."""
    parameter = plan.plotted
    assert parameter is not None
    (objective, direction), *others = plan.objectives.items()
    maximize = direction == "maximize"
    points = best_of_each(trials, parameter.name, objective, maximize)
    if len(points) < 2:
        return f"no picture: {len(points)} values of {parameter.name} are finished, and two are needed"
    chosen = choose(points, maximize, bool(is_whole(parameter)))
    beside = {name: BESIDE.get(name, name) for name in (*(name for name, _ in others), *BESIDE)}
    beside.pop(objective, None)
    panels = [_of_objective(points, objective), *_of_measured(points, beside)]
    drawn = against(
        np.array([point.value for point in points]),
        panels,
        title=f"{objective} against {parameter.name}",
        xlabel=parameter.name,
        log=_is_log(parameter),
        choice=None if others else _marked(chosen, parameter.name),
    )
    path = folder / "elbow.png"
    with atomic(path) as new:
        drawn.picture().save(new)
    return chosen, path


def selection_sentence(chosen: Selection, name: str, objective: str) -> str:
    """The selection as a sentence."""
    point, best = chosen.point, chosen.best
    if chosen.bound is None:
        why = "the best" if best.error is not None else "the best, of one training each"
        return f"{name}={point.value:g}: {why}, {objective}={point.mean:.6g}"
    if point is best:
        return (
            f"{name}={point.value:g}: the best, {objective}={best.mean:.6g} ± {best.error:.2g}; none below "
            "is within one standard error of it"
        )
    return (
        f"{name}={point.value:g}: the smallest whose {objective} ({point.mean:.6g}) is within one standard "
        f"error ({best.error:.2g}) of the best ({best.mean:.6g} at {best.value:g})"
    )


def _value(trial: FrozenTrial, name: str) -> float | None:
    given = [o.partition("=")[2] for o in trial.user_attrs.get("overrides", []) if o.startswith(f"{name}=")]
    return float(given[-1]) if given else None


def _of_objective(points: Sequence[Point], name: str) -> Panel:
    errors = [math.nan if point.error is None else point.error for point in points]
    label = f"{name}, mean ± standard error" if any(point.error is not None for point in points) else name
    return Panel(label, np.array([point.mean for point in points]), np.array(errors))


def _of_measured(points: Sequence[Point], names: Mapping[str, str]) -> list[Panel]:
    panels = []
    for name, label in names.items():
        each = [point.trial.user_attrs.get("measured", {}).get(name) for point in points]
        if all(each):
            means = np.array([np.mean(values) for values in each])
            errors = np.array([standard_error(values) or math.nan for values in each])
            panels.append(Panel(label, means, errors))
    return panels


def _marked(chosen: Selection, name: str) -> Choice:
    best, point = chosen.best, chosen.point
    error = best.error if chosen.bound is not None else None
    low, high = (None, None) if error is None else (best.mean - error, best.mean + error)
    return Choice(point.value, low, high, f"{name}={point.value:g}")


def _is_log(parameter: Parameter) -> bool:
    """Whether the values spread by factors: a logarithmic range, or a list over ten times its least value."""
    if isinstance(parameter, Range):
        return parameter.log
    values = [float(value) for value in parameter.values]
    return min(values) > 0 and max(values) / min(values) >= 10
