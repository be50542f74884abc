"""From what is stored of an observation to what a model sees: once for all at setup, or afresh in each batch.

Whatever is drawn for a batch comes from the generator that is given, so that a run continued at any batch
sees the same values.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.seeds import step_seed


class Values(ABC):
    """The values x of stored observations, in two steps: `prepare` at setup, a call for each batch.

    stored: the type of what is stored.
    bits: for each value, of a density of x up to a probability on the grid that x lies on: -log2 of its
        spacing; None where values are real numbers, which no number of bits describes.
    binary: whether values are zeros and ones. whole: whether they are whole numbers from 0.
    draws_once: whether what is kept resident was drawn at random. draws_each: whether a call draws.
    """

    stored: ClassVar[torch.dtype]
    bits: ClassVar[float | None]
    binary: ClassVar[bool] = False
    whole: ClassVar[bool] = False
    draws_once: ClassVar[bool] = False
    draws_each: ClassVar[bool] = False

    def prepare(self, x: Tensor, split: str = "") -> Tensor:
        """(N, ...) stored -> (N, ...) of the same type, what is kept resident.

        split: that these are of, so that no two draw alike.
        """
        return x

    def fit(self, stored: Callable[[], Tensor]) -> None:  # noqa: B027
        """Learn what values depend on from the training split, `stored()` (N, ...): by default, nothing."""

    def state(self) -> dict[str, Any]:
        """What was learned, as plain numbers, so that a run can be loaded without its data."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Take what another instance learned; LookupError, TypeError or ValueError where it is not that."""

    @abstractmethod
    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """(B, ...) stored -> (B, ...) float32, on the same device; `generator` is on it too."""

    def undrawn(self) -> "Values":
        """Values whose mean is what a model's own means tend to, where `prepare` draws: by default these."""
        return self

    def mean(self, x: Tensor) -> Tensor:
        """(B, ...) stored -> (B, ...) float32, the mean over what a call draws."""
        return self(x, Generator())

    def restore(self, x: Tensor) -> Tensor:
        """Values (..., *event) in the units of what is stored; by default as they are."""
        return x

    @property
    def log_volume(self) -> float:
        """log |d restored / d x| of a whole observation, in nats: log p(restored) = log p(x) - log_volume."""
        return 0.0


class Levels(Values, ABC):
    """Values made of the grey levels 0..255, in [0, 1]."""

    stored = torch.uint8
    bits = math.log2(255)

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        return x.float().mul_(1 / 255)

    def mean(self, x: Tensor) -> Tensor:
        return x.float() / 255


class Grey(Levels):
    """The grey level itself, v / 255."""


class Dynamic(Levels):
    """One Bernoulli(v / 255) draw for each pixel, afresh in each batch (Salakhutdinov and Murray 2008)."""

    binary = draws_each = True
    bits = 0.0

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        return _draw(x, generator).float()


class Fixed(Levels):
    """One Bernoulli(v / 255) draw for each pixel, made once (Larochelle and Murray 2011).

    seed: of the draw, apart from the run's, so that all runs see the same binary images.
    """

    binary = draws_once = True
    bits = 0.0

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def prepare(self, x: Tensor, split: str = "") -> Tensor:
        return _draw(x, Generator(x.device).manual_seed(step_seed(self.seed, f"values/{split}"))).mul_(255)

    def undrawn(self) -> Values:
        return Dynamic()


class Threshold(Levels):
    """1 where v / 255 is above `level`, else 0."""

    binary = True
    bits = 0.0

    def __init__(self, level: float = 0.5) -> None:
        self.level = level

    def prepare(self, x: Tensor, split: str = "") -> Tensor:
        if not 0 <= self.level <= 1:
            raise ConfigurationError(f"data.values.level={self.level} must be between 0 and 1")
        # For integers the comparison with the floor is the same, and exact where float32 would round.
        return (x > int(self.level * 255)).to(torch.uint8).mul_(255)


class Plain(Values):
    """Real numbers as they are."""

    stored = torch.float32
    bits = None

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        return x


class Counts(Values):
    """Counts as they are: whole numbers from 0, which stand 1 apart."""

    stored = torch.float32
    bits = 0.0
    whole = True

    def prepare(self, x: Tensor, split: str = "") -> Tensor:
        wrong = (x < 0) | (x != x.round())
        if not bool(wrong.any()):
            return x
        row, column = wrong.nonzero()[0].tolist()
        raise DataError(
            f"row {row}, column {column} holds {x[row, column]:g}, and counts are whole numbers from 0: "
            "values=standardised with likelihood=gaussian would work"
        )

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        return x


class Columns(Values):
    """The rows of a table: numbers of mean 0 and deviation 1 over those that the training split has;
    categories, which are their places, as they are; and NaN where a cell is missing.

    columns: each with its `categories`, none for numbers.
    """

    stored = torch.float32
    bits = None
    loc: Tensor
    scale: Tensor

    def __init__(self, columns: Sequence[Mapping[str, Any]]) -> None:
        self.numbers = torch.tensor([not column["categories"] for column in columns])

    def fit(self, stored: Callable[[], Tensor]) -> None:
        rows = stored().double()
        loc = rows.nanmean(0).nan_to_num()
        scale = (rows - loc).square().nanmean(0).nan_to_num().sqrt()
        self.loc = torch.where(self.numbers, loc, 0.0).float()
        self.scale = torch.where(self.numbers & (scale > 0), scale, 1.0).float()

    def state(self) -> dict[str, Any]:
        return {"mean": self.loc.tolist(), "deviation": self.scale.tolist()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.loc, self.scale = (torch.tensor(state[name]).float() for name in ("mean", "deviation"))
        if not len(self.loc) == len(self.scale) == len(self.numbers) or not bool((self.scale > 0).all()):
            raise ValueError("deviations are above 0, and as many as columns and means")

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        return (x - self.loc.to(x.device)) / self.scale.to(x.device)

    def restore(self, x: Tensor) -> Tensor:
        return x * self.scale.to(x.device) + self.loc.to(x.device)


class Tokens(Values):
    """Tokens as they are: whole numbers of 8 bytes, which networks look up."""

    stored = torch.int32
    bits = None

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        return x.long()


class Standardised(Values):
    """Real numbers of mean 0 and deviation 1 in each place of an observation, over the training split.

    A place that never varies there is only centred.
    """

    stored = torch.float32
    bits = None
    loc: Tensor
    scale: Tensor

    def fit(self, stored: Callable[[], Tensor]) -> None:
        rows = stored().double()
        varies = rows.amax(0) > rows.amin(0)
        self.loc = rows.mean(0).float()
        self.scale = torch.where(varies, rows.std(0, correction=0), 1.0).float()

    def state(self) -> dict[str, Any]:
        return {"mean": self.loc.tolist(), "deviation": self.scale.tolist()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.loc, self.scale = (torch.tensor(state[name]).float() for name in ("mean", "deviation"))
        if self.loc.shape != self.scale.shape or not bool((self.scale > 0).all()):
            raise ValueError("deviations are above 0, and as many as means")

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        self._follow(x)
        return (x - self.loc) / self.scale

    def restore(self, x: Tensor) -> Tensor:
        self._follow(x)
        return x * self.scale + self.loc

    @property
    def log_volume(self) -> float:
        return float(self.scale.double().log().sum())

    def _follow(self, x: Tensor) -> None:
        """Move to the device of x, once."""
        if self.loc.device != x.device:
            self.loc, self.scale = self.loc.to(x.device), self.scale.to(x.device)


def valued(given: Tensor, values: Values) -> Tensor:
    """Values of observations on the CPU that are of no data set, (N, ...) -> (N, ...) float32.

    What is of another type than what is stored are values already. The draw for an observation follows from
    its own numbers, so that it is the same beside whatever other observations.
    """
    if given.dtype != values.stored:
        return given
    if not (values.draws_once or values.draws_each):
        return values(values.prepare(given), Generator())
    rule = values.undrawn()
    each = (rule(rule.prepare(one), Generator().manual_seed(_seed_of(one))) for one in given.split(1))
    return torch.cat(list(each))


def _seed_of(x: Tensor) -> int:
    return int.from_bytes(hashlib.blake2b(x.numpy().tobytes(), digest_size=8).digest(), "little") >> 1


def _draw(x: Tensor, generator: Generator) -> Tensor:
    # A uniform integer of 0..254 is below v with probability v / 255, and without the rounding of a uniform
    # float; in uint8 and in place it takes four fifths of the time of `torch.rand` and a quarter of
    # `torch.bernoulli`.
    return torch.randint(255, x.shape, generator=generator, device=x.device, dtype=torch.uint8).lt_(x)
