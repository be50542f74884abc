"""A stack of bits that symbols are pushed on and popped off, by tables of whole numbers (asymmetric numeral
systems, Duda 2013, https://arxiv.org/abs/1311.2540, as constriction has them)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aelab.models.distributions import Gaussian

GRID = 64  # codes lie on whole multiples of 1 / GRID
REACH = 128 * GRID  # of a code, to either side of 0; of a mean half of it
FINE = 4  # means lie on a grid so many times as fine
OCTAVE = 16  # deviations are powers of two of so many steps an octave
NARROW, WIDE = -7 * OCTAVE, 3 * OCTAVE
MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
NEAR = 6  # deviations that drawn codes are within: what a coder keeps for the impossible lies there, too
COUNTS = 1 << 20  # that the chances of a table's symbols are counted in
DEVIATIONS = np.array([2.0 ** (step / OCTAVE) for step in range(NARROW, WIDE + 1)])


class DryError(Exception):
    """A stack that held fewer bits than were popped."""


class Whole:
    """A Gaussian over codes on the grid, by whole numbers: means (N,) and the places of deviations (N,)."""

    def __init__(self, p: Gaussian) -> None:
        loc, log_variance = torch.broadcast_tensors(p.loc.double(), p.log_variance.double())
        wide = (loc * (GRID * FINE)).round().clamp(-REACH * FINE / 2, REACH * FINE / 2)
        places = (log_variance * (0.5 * OCTAVE / np.log(2))).round().clamp(NARROW, WIDE) - NARROW
        self.means, self.places = _long(wide), _long(places)

    def at(self, rows: np.ndarray) -> "Whole":
        """Those of some rows."""
        part = object.__new__(Whole)
        part.means, part.places = self.means[rows], self.places[rows]
        return part

    @property
    def parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation in steps of the grid."""
        return self.means.ravel() / FINE, DEVIATIONS[self.places].ravel() * GRID

    def log_prob(self, codes: np.ndarray) -> np.ndarray:
        """The log-density of codes in steps of the grid, summed over the last axis, up to a constant."""
        deviations = DEVIATIONS[self.places] * GRID
        each = -0.5 * ((codes - self.means / FINE) / deviations) ** 2 - np.log(deviations)
        found: np.ndarray = each.sum(-1)
        return found


class Stack:
    """The stack itself. words: (N,) uint32 to begin with, the last of which is not 0."""

    def __init__(self, words: np.ndarray) -> None:
        import constriction

        self.coder_of = constriction.stream.stack.AnsCoder
        self.coder = self.coder_of(words)
        self.model = constriction.stream.model
        self.anywhere = self.model.QuantizedGaussian(-REACH, REACH)
        self.table = self.model.Categorical(perfect=False)

    @property
    def words(self) -> np.ndarray:
        """What it holds."""
        found: np.ndarray = self.coder.get_compressed()
        return found

    def push_codes(self, codes: np.ndarray, p: Whole) -> None:
        """Codes of any shape, wherever they are, in steps of the grid."""
        self.coder.encode_reverse(codes.ravel().astype(np.int32), self.anywhere, *p.parameters)

    def pop_codes(self, p: Whole) -> np.ndarray:
        """What `push_codes` has pushed, of the shape of p's means."""
        found = self.coder.decode(self.anywhere, *p.parameters).reshape(p.means.shape)
        return self._checked(found)

    def draw(self, p: Whole) -> np.ndarray:
        """Codes as if they were drawn of p, of the shape of its means."""
        drawn = np.empty(p.means.size, np.int64)
        for part, middle, model, parameters in self._near(p):
            drawn[part] = middle + self._checked(self.coder.decode(model, *parameters))
        return drawn.reshape(p.means.shape)

    def undraw(self, codes: np.ndarray, p: Whole) -> None:
        """Give back what `draw` has taken."""
        for part, middle, model, parameters in list(self._near(p))[::-1]:
            self.coder.encode_reverse((codes.ravel()[part] - middle).astype(np.int32), model, *parameters)

    def _near(self, p: Whole) -> Iterator[tuple[np.ndarray, np.ndarray, Any, tuple[np.ndarray, np.ndarray]]]:
        """Codes of like deviations together: their places, where to count from, and a model of the window."""
        means, deviations = p.parameters
        window = np.ceil(NEAR * np.exp2(np.ceil(np.log2(deviations) * 4) / 4)).astype(np.int64)
        for reach in np.unique(window):
            part = np.flatnonzero(window == reach)
            middle = np.rint(means[part]).astype(np.int64)
            model = self.model.QuantizedGaussian(-int(reach), int(reach))
            yield part, middle, model, (means[part] - middle, deviations[part])

    def push(self, symbols: np.ndarray, counts: np.ndarray) -> None:
        """Symbols (N,) of tables (N, L)."""
        self.coder.encode_reverse(symbols.astype(np.int32), self.table, _rows(counts))

    def pop(self, counts: np.ndarray) -> np.ndarray:
        """Symbols (N,) of tables (N, L)."""
        return self._checked(self.coder.decode(self.table, _rows(counts)))

    def stir(self, number: int) -> None:
        """Change all words but the last by a fixed noise of that number; again, and they are as before.

        What was pushed lies on the stack as the quantiles of codes. Without noise, those drawn next would
        have them, too, and be no draws.
        """
        words = self.words.copy()
        mixed = np.arange(len(words) - 1, dtype=np.uint64) + np.uint64((number + 1) << 32)
        for factor in MIX:  # the finaliser of SplitMix64 (Steele, Lea and Flood 2014)
            mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(factor)
        words[:-1] ^= (mixed >> np.uint64(32)).astype(np.uint32)
        self.coder = self.coder_of(words)

    def _checked(self, symbols: np.ndarray) -> np.ndarray:
        if self.coder.num_words() < 2:
            raise DryError
        return symbols


def counted(logits: np.ndarray) -> np.ndarray:
    """Tables (..., L) of whole numbers from unnormalised log-probabilities; what counts 0 can be coded, too.

    >>> counted(np.log(np.array([0.25, 0.75])))
    array([262144, 786432])
    """
    chances = np.exp(logits - logits.max(-1, keepdims=True))
    chances /= chances.sum(-1, keepdims=True)
    return np.rint(chances * COUNTS).astype(np.int64)


def seed_words(count: int) -> np.ndarray:
    """What a stack begins with: the same (count,) uint32 for all, as if at random, the last of them odd."""
    need = -(-count // 8)
    content = b"".join(hashlib.sha256(b"aelab%d" % block).digest() for block in range(need))
    words = np.frombuffer(content, "<u4")[:count].copy()
    words[-1] |= 1
    return words


def proof() -> bytes:
    """What tells one coder from another that would read its words in another way."""
    stack = Stack(seed_words(64))
    around = Gaussian(torch.linspace(-3, 3, 24), torch.linspace(-9, 2, 24))
    codes = np.stack([stack.draw(Whole(around)), stack.pop_codes(Whole(around))])
    symbols = stack.pop(counted(np.outer(np.linspace(-9, 0, 24), np.arange(5.0))))
    return DEVIATIONS.tobytes() + codes.tobytes() + symbols.tobytes() + stack.words.tobytes()


def digest_of(model: nn.Module) -> Any:
    """The beginning of a SHA-256 that tells apart the coder and a model's weights, which lie on the CPU."""
    found = hashlib.sha256(proof())
    for name, value in sorted(model.state_dict().items()):
        found.update(name.encode() + value.numpy().tobytes())
    return found


@contextmanager
def alone() -> Iterator[None]:
    """One thread, so that sums are in the same order however many the process has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _rows(counts: np.ndarray) -> np.ndarray:
    """In the order of C: constriction reads the numbers of others amiss."""
    return np.ascontiguousarray(counts, np.float64)


def _long(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.long().cpu().numpy()
    return found
