"""The search space of a study: parameters from YAML or the command line, under conditions.

A value is kept as the text of an override: what a trial runs is what a user would type.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hydra.core.override_parser.types import IntervalSweep, Override

from aelab.core.errors import ConfigurationError

Conditions = Mapping[str, tuple[str, ...]]
"""The values that other parameters must have, by their names, for a parameter to be varied."""


class SuggestingTrial(Protocol):
    """The part of an Optuna trial that draws values of parameters."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> float: ...


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    name: str
    values: tuple[str, ...]
    when: Conditions = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigurationError(f"sweep.space: {self.name} has no value to choose from")

    def suggest(self, trial: SuggestingTrial) -> str:
        """The value that the trial's sampler draws."""
        return trial.suggest_categorical(self.name, self.values)

    def extremes(self) -> tuple[str, ...]:
        """Values of which all compose only if all values do; one number is composed as another."""
        numbers = all(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value) for value in self.values)
        return tuple(dict.fromkeys((self.values[0], self.values[-1]))) if numbers else self.values

    def points(self) -> tuple[str, ...]:
        """All values, for a grid."""
        return self.values


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; integers where both are.

    grid: how many of them, evenly spread, a grid tries; samplers draw from all.
    """

    name: str
    low: float
    high: float
    step: float | None = None
    log: bool = False
    when: Conditions = field(default_factory=dict)
    grid: int | None = None

    def __post_init__(self) -> None:
        where, numbers = f"sweep.space: {self.name}", (self.low, self.high, self.step or 1)
        if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
            raise ConfigurationError(f"{where}: low, high and step are numbers")
        if not isinstance(self.log, bool):
            raise ConfigurationError(f"{where}: log={self.log} must be true or false")
        if not all(map(math.isfinite, numbers)):
            raise ConfigurationError(f"{where}: low, high and step must be finite")
        if self.low > self.high:
            raise ConfigurationError(f"{where} has low={self.low} above high={self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ConfigurationError(f"{where}: a logarithmic range begins above 0 and has no step")
        if self.step is not None and (self.step <= 0 or (self.integer and not isinstance(self.step, int))):
            raise ConfigurationError(f"{where}: step={self.step} must be above 0, and whole where low is")
        if self.grid is not None and (type(self.grid) is not int or self.grid < 2 or self.step is not None):
            raise ConfigurationError(
                f"{where}: grid={self.grid} is how many values a grid tries, from 2, and instead of a step"
            )

    @property
    def integer(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: SuggestingTrial) -> str:
        """The value that the trial's sampler draws."""
        if self.integer:
            step = int(self.step or 1)
            drawn = trial.suggest_int(self.name, int(self.low), int(self.high), step=step, log=self.log)
            return repr(drawn)
        return repr(trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log))

    def extremes(self) -> tuple[str, ...]:
        """The values at the ends, of which both compose only if all values do."""
        return tuple(dict.fromkeys((repr(self.low), repr(self.high))))

    def points(self) -> tuple[str, ...]:
        """All values, for a grid.

        Raises ConfigurationError for a continuous range.
        """
        if self.grid is not None:
            return self._spread(self.grid)
        if self.log or not (self.integer or self.step):
            raise ConfigurationError(
                f"sweep.space: a grid cannot try every value of {self.name}: give a list, a step, or grid, "
                "the number of values; sweep=random and sweep=tpe draw from a range"
            )
        step = self.step or 1
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(repr(self.low + i * step) for i in range(count))

    def _spread(self, count: int) -> tuple[str, ...]:
        """Values of which the first is low and the last high, each once."""
        shares = [i / (count - 1) for i in range(count)]
        if self.log:
            between = [self.low * (self.high / self.low) ** share for share in shares[1:-1]]
        else:
            between = [self.low + (self.high - self.low) * share for share in shares[1:-1]]
        values = [self.low, *(map(round, between) if self.integer else between), self.high]
        return tuple(dict.fromkeys(map(repr, values)))


Parameter = Choice | Range
Space = Sequence[Parameter]


def space_of(node: Mapping[str, Any], swept: Sequence[Override] = ()) -> Space:
    """The parameters of `sweep.space`, with those of the command line in their place or after them.

    Raises ConfigurationError for what makes no sense, naming the parameter.
    """
    parameters = {str(name): _from_yaml(str(name), options) for name, options in node.items()}
    for override in swept:
        name = override.get_key_element()
        parameters[name] = _from_command_line(name, override)
    for index, parameter in enumerate(parameters.values()):
        _check_conditions(parameter, list(parameters.values())[:index])
    return list(parameters.values())


def suggest(trial: SuggestingTrial, space: Space) -> dict[str, str]:
    """Values of the parameters whose conditions hold."""
    values: dict[str, str] = {}
    for parameter in space:
        if _holds(parameter.when, values):
            values[parameter.name] = parameter.suggest(trial)
    return values


def grid(space: Space) -> list[dict[str, str]]:
    """All combinations, each once; a parameter whose conditions do not hold is left out."""
    combinations: list[dict[str, str]] = [{}]
    for parameter in space:
        combinations = [
            {**values, parameter.name: point} if _holds(parameter.when, values) else values
            for values in combinations
            for point in (parameter.points() if _holds(parameter.when, values) else ("",))
        ]
    return list({tuple(values.items()): values for values in combinations}.values())


def extremes(space: Space) -> Iterator[dict[str, str]]:
    """A few combinations in which each choice, and each end of a range, occurs at least once."""
    for parameter in space:
        for value in parameter.extremes():
            yield _around(parameter, value, space)


def _around(parameter: Parameter, value: str, space: Space) -> dict[str, str]:
    """The combination of first values in which a parameter has the given one, its conditions fulfilled."""
    wanted = {parameter.name: value}
    for other in reversed(space):
        if other.name in wanted:
            wanted.update({name: allowed[0] for name, allowed in other.when.items() if name not in wanted})
    values: dict[str, str] = {}
    for other in space:
        if _holds(other.when, values):
            values[other.name] = wanted.get(other.name, other.extremes()[0])
    return values


def as_plain(space: Space) -> dict[str, Any]:
    """The space as plain values, to be kept with a study and compared."""
    return json.loads(json.dumps({p.name: _as_plain(p) for p in space}))


def is_whole(parameter: Parameter) -> bool | None:
    """Whether all values are whole numbers; None where some are no numbers."""
    if isinstance(parameter, Range):
        return parameter.integer
    try:
        values = [float(value) for value in parameter.values]
    except ValueError:
        return None
    return all(value.is_integer() for value in values)


def _as_plain(parameter: Parameter) -> dict[str, Any]:
    # A study that is older than `grid` goes on: a range without one is described as it was.
    plain = {key: value for key, value in vars(parameter).items() if (key, value) != ("grid", None)}
    return {**plain, "when": dict(parameter.when)}


def override_text(value: Any) -> str:
    """The text of an override for a value of YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{override_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(override_text, value)) + "]"
    return str(value)


def _from_yaml(name: str, options: Any) -> Parameter:
    if isinstance(options, list | tuple):
        return Choice(name, tuple(map(override_text, options)))
    if not isinstance(options, Mapping):
        raise ConfigurationError(
            f"sweep.space: {name}={options}: give a list of values, or {{low: ..., high: ...}}"
        )
    given = dict(options)
    when = {str(k): _texts(v) for k, v in (given.pop("when", None) or {}).items()}
    if set(given) == {"choices"}:
        return Choice(name, _texts(given["choices"]), when)
    unknown = sorted(set(given) - {"low", "high", "step", "log", "grid"})
    if unknown or not {"low", "high"} <= set(given):
        raise ConfigurationError(
            f"sweep.space: {name} is described by {sorted(given)}: give either choices, or low and high "
            "(and log, step or grid), and when"
        )
    return Range(name, **given, when=when)


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(override_text, values if isinstance(values, list | tuple) else [values]))


def _from_command_line(name: str, override: Override) -> Parameter:
    if override.is_discrete_sweep():
        return Choice(name, tuple(override.sweep_string_iterator()))
    value = override.value()
    assert isinstance(value, IntervalSweep)
    assert value.start is not None
    assert value.end is not None
    return Range(name, value.start, value.end, log="log" in value.tags)


def _check_conditions(parameter: Parameter, above: Space) -> None:
    known = {other.name: other for other in above}
    for name, values in parameter.when.items():
        if name not in known:
            raise ConfigurationError(
                f"sweep.space: {parameter.name} depends on {name}, which must be a parameter above it"
            )
        other = known[name]
        strangers = [v for v in values if isinstance(other, Choice) and v not in other.values]
        if strangers or not values or isinstance(other, Range):
            raise ConfigurationError(
                f"sweep.space: {parameter.name} waits for {name}={','.join(values)}, which is never chosen"
            )


def _holds(when: Conditions, values: Mapping[str, str]) -> bool:
    return all(values.get(name) in allowed for name, allowed in when.items())
