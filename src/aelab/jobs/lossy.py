"""Observations as their codes alone, coded by what is known of such codes: a few bits each, with loss.

    real codes:   mean of q(z|x) ──round to a grid──▶ whole numbers, each coded by a Gaussian that was fitted
                  to training codes, and which the file holds
    codebooks:    the symbols of q(z|x), each coded by the prior's table given those before it

A decoder reads whole numbers, from the codes that they stand for the mean of p(x|z).
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.records import Batch
from aelab.jobs.ans_stack import REACH, Stack, alone, counted, digest_of, seed_words
from aelab.jobs.bits_back import Told
from aelab.models import Autoencoder
from aelab.models.conditions import sees_observation
from aelab.models.distributions.divergence import space
from aelab.models.distributions.quantised import Quantised, SymbolPrior

BLOCK = 500  # observations that are coded at once
SEED = 2  # words that the stack begins with
FINE, OCTAVE = (
    4,
    16,
)  # as means and deviations are kept: a quarter of a step, and powers of two, so many an octave
LEAST, MOST = -5 * OCTAVE, 13 * OCTAVE


@dataclass(frozen=True)
class Grid:
    """Where real codes are rounded to, and a Gaussian of each number of a code, fitted to training codes.

    step: of the grid. means, deviations: as whole numbers, of a quarter of a step and of a 16th of an octave.
    """

    step: float
    means: list[int]
    deviations: list[int]

    @classmethod
    def fitted(cls, codes: Tensor, step: float) -> "Grid":
        """To training codes (N, latent); step: in root mean square deviations of these.

        >>> Grid.fitted(torch.tensor([[-1.0, 4.0], [1.0, 4.0]]), 0.5)
        Grid(step=0.3536, means=[0, 44], deviations=[25, -80])
        """
        if not 0 < step < math.inf:
            raise ConfigurationError(f"step={step}: a number above 0 is needed")
        size = step * max(float(codes.double().var(0, correction=0).mean().sqrt()), 1e-12)
        whole = rounded(codes, size)
        scale = whole.std(0).clip(2.0 ** (LEAST / OCTAVE), 2.0 ** (MOST / OCTAVE))
        return cls(
            size,
            np.rint(whole.mean(0) * FINE).astype(int).tolist(),
            np.rint(np.log2(scale) * OCTAVE).astype(int).tolist(),
        )

    @cached_property
    def parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each number of a code, (latent,), in steps."""
        return np.array(self.means) / FINE, 2.0 ** (np.array(self.deviations) / OCTAVE)


class Lossy:
    """A coder of observations' codes by a model, with the methods of `BitsBack`.

    shape: of an observation. grid: None for a codebook's codes, which are whole numbers by themselves.
    InapplicableError for a model that cannot serve.
    """

    codes = 0  # which tells such a file
    levels = 256

    def __init__(self, model: Autoencoder, shape: tuple[int, ...], grid: Grid | None) -> None:
        if model.encoder is None:
            raise InapplicableError("a model without an encoder has no codes of observations: choose another")
        if sees_observation(model.conditioner):
            raise InapplicableError("the model is told a part of the image itself, which a decoder has not")
        self.model = copy.deepcopy(model).cpu().eval()
        self.shape, self.grid = shape, grid

    @property
    def notes(self) -> Mapping[str, Any]:
        """What a file says of the grid."""
        return {} if self.grid is None else {"grid": asdict(self.grid)}

    def told(self, batch: Batch) -> Told:
        """What the model is told of each observation."""
        return Told(self.model.context(batch))

    def digest(self) -> bytes:
        """What tells models and machines apart that would make other tables: 16 bytes."""
        found = digest_of(self.model)
        if self.grid is None:
            conditioner = self.model.conditioner
            told = Told(None if conditioner is None else torch.zeros(1, conditioner.features))
            with alone(), torch.no_grad():
                zeros = np.zeros((1, self._prior(told).length), np.int64)
                for counts in self._tables(zeros, told):
                    found.update(counts.tobytes())
        return found.digest()[:16]

    @torch.no_grad()
    def whole(self, x: Tensor, told: Told) -> np.ndarray:
        """The codes of observations (N, *shape) as whole numbers, int32."""
        with alone():
            parts = [
                self._whole(self.model.posterior_of(x[rows], told.at(rows).context))
                for rows in blocks(len(x))
            ]
        return np.concatenate(parts)

    def _whole(self, q: Distribution) -> np.ndarray:
        if self.grid is None:
            if not isinstance(q, Quantised):
                raise InapplicableError("the model has no codebook: give the step of a grid for its codes")
            found: np.ndarray = q.symbols.numpy().astype(np.int32)
            return found
        if space(q) != "real":
            raise InapplicableError(f"codes are no real vectors ({space(q)}), and a grid is of these alone")
        return rounded(q.mean, self.grid.step)

    @torch.no_grad()
    def shown(self, whole: np.ndarray, told: Told, back: Callable[[Distribution], Tensor]) -> Tensor:
        """What codes are decoded to, (N, *shape) float32. back: of p(x|z), as a `Kind` gives it."""
        with alone():
            parts = []
            for rows in blocks(len(whole)):
                part = torch.from_numpy(whole[rows].astype(np.int64))
                context = told.at(rows).context
                z = self._prior(told).book.code_of(part) if self.grid is None else part * self.grid.step
                parts.append(back(self.model.decode(z[None].float(), context))[0])
        return torch.cat(parts)

    @torch.no_grad()
    def compress(
        self, x: np.ndarray, told: Told, track: Callable[..., Iterator[slice]] = iter
    ) -> tuple[np.ndarray, int]:
        """The words of whole numbers (N, L), and how many words the stack began with."""
        stack = Stack(seed_words(SEED))
        with alone():
            for rows in track(list(blocks(len(x)))):
                if self.grid is None:
                    for place, counts in reversed(list(enumerate(self._tables(x[rows], told.at(rows))))):
                        stack.push(x[rows][:, place], counts)
                else:
                    stack.coder.encode_reverse(x[rows].ravel(), stack.anywhere, *self._repeated(rows))
        return stack.words, SEED

    @torch.no_grad()
    def decompress(
        self,
        words: np.ndarray,
        seed: int,
        count: int,
        told: Told,
        track: Callable[..., Iterator[slice]] = iter,
    ) -> np.ndarray:
        """The whole numbers again, (N, L)."""
        stack = Stack(words)
        parts = []
        with alone():
            for rows in track(list(blocks(count))[::-1]):
                if self.grid is None:
                    x = np.zeros((rows.stop - rows.start, self._prior(told).length), np.int32)
                    for place, counts in enumerate(self._tables(x, told.at(rows))):
                        x[:, place] = stack.coder.decode(stack.table, counts.astype(np.float64))
                else:
                    x = stack.coder.decode(stack.anywhere, *self._repeated(rows))
                    x = x.reshape(rows.stop - rows.start, -1)
                parts.append(x)
        return np.concatenate(parts[::-1])

    def _repeated(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """The Gaussian of each number of so many codes."""
        assert self.grid is not None
        count = rows.stop - rows.start
        return tuple(np.tile(each, count) for each in self.grid.parameters)  # type: ignore[return-value]

    def _tables(self, symbols: np.ndarray, told: Told) -> Iterator[np.ndarray]:
        """For each place of symbols (N, T) a table (N, codes), which reads the places before it alone, as a
        decoder knows them: `symbols` may be filled in while the tables are asked for."""
        prior, state, known = self._prior(told), None, torch.from_numpy(symbols)
        for place in range(prior.length):
            logits, state = prior.following(known[:, :place], state)
            yield counted(logits.double().numpy())

    def _prior(self, told: Told) -> SymbolPrior:
        prior = None if self.model.prior is None else self.model.prior(told.context, self.model)
        if not isinstance(prior, SymbolPrior):
            raise InapplicableError(
                "codes are of no codebook with a prior of its symbols: give the step of a grid for real codes"
            )
        return prior


def rounded(codes: Tensor, step: float) -> np.ndarray:
    """Codes in whole steps, int32."""
    found: np.ndarray = (codes.double() / step).round().clamp(-REACH, REACH).numpy().astype(np.int32)
    return found


def blocks(count: int) -> Iterator[slice]:
    """What is coded at once."""
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))
