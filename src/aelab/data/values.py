"""How grey levels 0..255 become values in [0, 1]: once for all at setup, or afresh in each batch.

Whatever is drawn for a batch comes from the generator that is given, so that a run continued at any batch
sees the same values.
"""

import hashlib
from typing import Protocol

import torch
from torch import Generator, Tensor

from aelab.core.errors import ConfigurationError


class Binarization(Protocol):
    """Two steps from pixels to values: `prepare` at setup, a call for each batch.

    draws_once: whether what is kept resident was drawn at random, and its mean is the source's grey image.
    draws_each: whether a call draws.
    """

    draws_once: bool
    draws_each: bool

    def prepare(self, x: Tensor, /) -> Tensor:
        """(N, ...) uint8 -> (N, ...) uint8, what is kept resident."""

    def __call__(self, x: Tensor, generator: Generator, /) -> Tensor:
        """(B, ...) uint8 -> (B, ...) float32 in [0, 1], on the same device; `generator` is on it too."""


class Grey:
    """The grey level itself, v / 255."""

    draws_once = False
    draws_each = False

    def prepare(self, x: Tensor) -> Tensor:
        return x

    def __call__(self, x: Tensor, _generator: Generator) -> Tensor:
        return _unit(x)


class Dynamic:
    """One Bernoulli(v / 255) draw for each pixel, afresh in each batch (Salakhutdinov and Murray 2008)."""

    draws_once = False
    draws_each = True

    def prepare(self, x: Tensor) -> Tensor:
        return x

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        return _draw(x, generator).float()


class Fixed:
    """One Bernoulli(v / 255) draw for each pixel, made once (Larochelle and Murray 2011).

    seed: of the draw, apart from the run's, so that all runs see the same binary images.
    """

    draws_once = True
    draws_each = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def prepare(self, x: Tensor) -> Tensor:
        return _draw(x, Generator(x.device).manual_seed(self.seed)).mul_(255)

    def __call__(self, x: Tensor, _generator: Generator) -> Tensor:
        return _unit(x)


class Threshold:
    """1 where v / 255 is above `level`, else 0."""

    draws_once = False
    draws_each = False

    def __init__(self, level: float = 0.5) -> None:
        self.level = level

    def prepare(self, x: Tensor) -> Tensor:
        if not 0 <= self.level <= 1:
            raise ConfigurationError(f"data.binarization.level={self.level} must be between 0 and 1")
        # For integers the comparison with the floor is the same, and exact where float32 would round.
        return (x > int(self.level * 255)).to(torch.uint8).mul_(255)

    def __call__(self, x: Tensor, _generator: Generator) -> Tensor:
        return _unit(x)


def valued(x: Tensor, binarization: Binarization) -> Tensor:
    """Values of images on the CPU that are of no data set, (N, ...) uint8 -> (N, ...) float32.

    The draw for an image follows from its pixels, so that it is the same beside whatever other images.
    """
    if not (binarization.draws_once or binarization.draws_each):
        return binarization(binarization.prepare(x), Generator())
    rule = Dynamic() if binarization.draws_once else binarization
    each = (rule(rule.prepare(image), Generator().manual_seed(_seed_of(image))) for image in x.split(1))
    return torch.cat(list(each))


def _seed_of(image: Tensor) -> int:
    return int.from_bytes(hashlib.blake2b(image.numpy().tobytes(), digest_size=8).digest(), "little") >> 1


def _unit(x: Tensor) -> Tensor:
    return x.float().mul_(1 / 255)


def _draw(x: Tensor, generator: Generator) -> Tensor:
    # A uniform integer of 0..254 is below v with probability v / 255, and without the rounding of a uniform
    # float; in uint8 and in place it takes four fifths of the time of `torch.rand` and a quarter of
    # `torch.bernoulli`.
    return torch.randint(255, x.shape, generator=generator, device=x.device, dtype=torch.uint8).lt_(x)
