"""Schedules: functions of the optimisation step, for loss weights and for the learning rate.

They know how long the training is and nothing of what happened, so a run continued at any step sees the
values that it would have seen. Where a number may be a schedule, a configuration writes one in a line, by its
name and its numbers: `weight: [ramp, 0, 1, 0.3]`.
"""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from aelab.core.checks import at_least, is_number
from aelab.core.errors import ConfigurationError


class Schedule(ABC):
    """step (counted from 0) -> value."""

    @abstractmethod
    def __call__(self, step: int) -> float: ...


@dataclass(frozen=True)
class Constant(Schedule):
    value: float = 1.0

    def __call__(self, step: int) -> float:
        return self.value


@dataclass(frozen=True)
class Linear(Schedule):
    """From `start` to `end` in `steps` steps, constant afterwards: KL warm-up (Bowman et al. 2016)."""

    steps: int
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        at_least(0, steps=self.steps)

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * (min(1.0, step / self.steps) if self.steps else 1.0)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Linear warm-up from 0 in `warmup` steps, then half a cosine from `start` to `end` at `steps`."""

    steps: int
    start: float = 1.0
    end: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        at_least(0, steps=self.steps, warmup=self.warmup)

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.start * (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.end + (self.start - self.end) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Cyclic(Schedule):
    """`cycles` linear ramps in `steps` steps: `rise` of each climbs from `start` to `end`, the rest stays
    there, and so does what follows the last (Fu et al. 2019)."""

    steps: int
    cycles: int = 4
    rise: float = 0.5
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps)
        if self.cycles < 1 or not 0 < self.rise <= 1:
            raise ConfigurationError(
                f"a cyclic schedule has at least 1 cycle and a rise in (0, 1], not {self}"
            )

    def __call__(self, step: int) -> float:
        progress = (step * self.cycles % self.steps) / self.steps if step < self.steps else 1.0
        return self.start + (self.end - self.start) * min(1.0, progress / self.rise)


@dataclass(frozen=True)
class Switch(Schedule):
    """`start` for `steps` steps, `end` afterwards."""

    steps: int
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        at_least(0, steps=self.steps)

    def __call__(self, step: int) -> float:
        return self.start if step < self.steps else self.end


@dataclass(frozen=True)
class Milestones(Schedule):
    """`factor` to the power of the number of milestones passed."""

    milestones: Sequence[int]
    factor: float = 0.1

    def __call__(self, step: int) -> float:
        return self.factor ** sum(step >= milestone for milestone in self.milestones)


@dataclass(frozen=True)
class Exponential(Schedule):
    """`factor` to the power of step / `steps`."""

    steps: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps)

    def __call__(self, step: int) -> float:
        return self.factor ** (step / self.steps)


@dataclass(frozen=True)
class Stages(Schedule):
    """`stages` plateaus over `steps` steps, each `growth` times as long as the one before and lower by
    `factor` (Burda, Grosse and Salakhutdinov 2016)."""

    steps: int
    stages: int = 8
    growth: float = 3.0
    factor: float = 10 ** (-1 / 7)

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps)
        if self.stages < 1 or not self.growth > 1:
            raise ConfigurationError(f"stages must be at least 1, and each grow by more than 1, not {self}")

    def __call__(self, step: int) -> float:
        # In units of the first stage, stage i begins at (growth^i - 1) / (growth - 1).
        whole = self.growth**self.stages - 1
        stage = int(math.log(1 + whole * step / self.steps, self.growth) + 1e-9)
        return self.factor ** min(stage, self.stages - 1)


class OfTraining(Schedule):
    """A schedule over a `share` of the training, from its start; it stands at its beginning until `plan`.

    schedule: steps -> the schedule over so many.
    """

    def __init__(self, schedule: Callable[..., Schedule], share: float = 1.0) -> None:
        if not 0 < share <= 1:
            raise ConfigurationError(f"a schedule's share={share} of the training must be in (0, 1]")
        self.schedule, self.share = schedule, share
        self.planned: Schedule | None = None

    def plan(self, steps: int | None) -> None:
        """Tell it how many steps the training has; None: that this is unknown again."""
        self.planned = None if steps is None else self.schedule(steps=max(1, round(self.share * steps)))

    def __call__(self, step: int) -> float:
        return self.schedule(steps=1)(0) if self.planned is None else self.planned(step)


def ramp(start: float, end: float, share: float = 1.0) -> Schedule:
    """[ramp, start, end, share]: a straight line over a share of the training, `end` afterwards."""
    return OfTraining(partial(Linear, start=start, end=end), share)


def cosine(start: float, end: float, share: float = 1.0) -> Schedule:
    """[cosine, start, end, share]: half a cosine over a share of the training, `end` afterwards."""
    return OfTraining(partial(Cosine, start=start, end=end), share)


def cycle(start: float, end: float, cycles: int = 4, rise: float = 0.5) -> Schedule:
    """[cycle, start, end, cycles, rise]: ramps again and again, each up for the share `rise` of its time."""
    return OfTraining(partial(Cyclic, cycles=cycles, rise=rise, start=start, end=end))


def switch(start: float, end: float, share: float) -> Schedule:
    """[switch, start, end, share]: `start` for a share of the training, `end` afterwards."""
    return OfTraining(partial(Switch, start=start, end=end), share)


WRITTEN: dict[str, Callable[..., Schedule]] = {make.__name__: make for make in (ramp, cosine, cycle, switch)}
"""The schedules that a configuration writes in one line, by name."""


Scheduled = float | Sequence[str | float] | Schedule
"""What a configuration may give for a number that may be a schedule."""


def scheduled(value: Scheduled) -> Schedule:
    """A number, or a schedule as a configuration writes it, as a schedule; a schedule as it is.

    Raises ConfigurationError for what is neither.
    """
    if isinstance(value, Schedule):
        return value
    if is_number(value):
        return Constant(float(value))
    name, *numbers = value if isinstance(value, list) and value else [None]
    given = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else repr(value)
    if not isinstance(name, str) or name not in WRITTEN:
        raise ConfigurationError(
            f"{given} is neither a number nor a schedule, as [ramp, 0, 1], whose name is one of "
            f"{', '.join(WRITTEN)}"
        )
    make = WRITTEN[name]
    try:
        inspect.signature(make).bind(*numbers)
    except TypeError as error:
        raise ConfigurationError(f"{given}: it is written {_shape(make)} ({error})") from error
    if not all(map(is_number, numbers)):
        raise ConfigurationError(f"{given}: it is written {_shape(make)}, with numbers")
    return make(*numbers)


def _shape(make: Callable[..., Schedule]) -> str:
    """How a schedule is written, as `[ramp, start, end, share]`."""
    return f"[{', '.join([make.__name__, *inspect.signature(make).parameters])}]"
