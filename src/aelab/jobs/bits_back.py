"""Observations as bits and back, by a model with a density: bits-back coding.

    to code x:   pop z of q(z|x),  push x of p(x|z),  push z of p(z)        net: -log p(x,z) + log q(z|x)
    K codes:     pop z_1 .. z_K,  pop j of w_j / sum w,  push the others,  push x of p(x|z_j), z_j, j
                                                                            net: -log 1/K sum w
    a mixture:   pop its component of p(c|z), push z of p(z|c), push c      net: -log p(z)

A block of images is coded at once; blocks grow with what the stack holds (Townsend, Bird and Barber 2019,
https://arxiv.org/abs/1901.04866; K codes: Ruan et al. 2021, https://arxiv.org/abs/2102.11086).
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, distributions
from torch.distributions import Distribution, MixtureSameFamily

from aelab.core.errors import InapplicableError
from aelab.core.records import Batch
from aelab.jobs.ans_stack import GRID, DryError, Stack, Whole, alone, counted, digest_of, seed_words
from aelab.jobs.code_layers import Layer, components, layers, widened
from aelab.models import UNFITTED, Autoencoder
from aelab.models.conditions import sees_observation
from aelab.models.distributions import Factorised, Gaussian, LogisticMixture

BLOCK = 64  # images that are coded at once, at most
CHUNK = 32  # levels that are asked for at once


@dataclass(frozen=True)
class Told:
    """The condition of a block, (B, features), or None."""

    context: Tensor | None

    def at(self, rows: slice) -> "Told":
        return Told(None if self.context is None else self.context[rows])


class BitsBack:
    """A coder of observations (N, *shape) of `levels` levels, uint8, by a model.

    codes: K, for each observation. track: shows the blocks as they pass.
    Raises InapplicableError for a model that cannot serve.
    """

    def __init__(self, model: Autoencoder, shape: tuple[int, ...], levels: int, codes: int = 1) -> None:
        if model.prior is None or model.encoder is None:
            raise InapplicableError(
                "a model without an encoder and a prior has no bound to code by: choose another"
            )
        if not model.fitted:
            raise InapplicableError(f"{UNFITTED} to code by: choose another")
        if sees_observation(model.conditioner):
            raise InapplicableError("the model is told a part of the image itself, which a decoder has not")
        self.model = copy.deepcopy(model).cpu().double().eval()
        self.shape, self.levels, self.codes = shape, levels, codes
        self.grid = torch.linspace(0, 1, levels, dtype=torch.float64)

    def told(self, batch: Batch) -> Told:
        """What the model is told of each observation."""
        context = self.model.context(batch)
        return Told(None if context is None else context.double())

    def digest(self) -> bytes:
        """What tells models and machines apart that would make other tables: 16 bytes."""
        found = digest_of(self.model)
        with alone(), torch.no_grad():
            count = 2
            context = (
                None
                if self.model.conditioner is None
                else torch.zeros(count, self.model.conditioner.features).double()
            )
            ramp = torch.linspace(0, 1, count * int(np.prod(self.shape))).view(count, *self.shape)
            x = ((ramp * (self.levels - 1)).round() / (self.levels - 1)).double()
            told = Told(context)
            for layer in self._tried(x, told):
                found.update(layer)
        return found.digest()[:16]

    def _tried(self, x: Tensor, told: Told) -> Iterator[bytes]:
        z = torch.zeros(len(x), self.model.latent, dtype=torch.float64)
        for _, given in self._posterior(x, told):
            whole = Whole(given(z))
            yield whole.means.tobytes() + whole.places.tobytes()
        yield self._tables(np.zeros((len(x), self.model.latent), np.int64), told).tobytes()

    def compress(
        self, x: np.ndarray, told: Told, track: Callable[..., Iterator[slice]] = iter
    ) -> tuple[np.ndarray, int]:
        """The words of observations (N, *shape), and how many words the stack began with."""
        seed = 2 + self.model.latent * self.codes // 2
        while True:
            try:
                return self._compressed(x, told, Stack(seed_words(seed)), track), seed
            except DryError:
                seed *= 2

    @torch.no_grad()
    def _compressed(
        self, x: np.ndarray, told: Told, stack: Stack, track: Callable[..., Iterator[slice]]
    ) -> np.ndarray:
        with alone():
            for rows in track(list(self.blocks(len(x)))):
                stack.stir(rows.start)
                self._push(stack, x[rows], told.at(rows))
        return stack.words

    @torch.no_grad()
    def decompress(
        self,
        words: np.ndarray,
        seed: int,
        count: int,
        told: Told,
        track: Callable[..., Iterator[slice]] = iter,
    ) -> np.ndarray:
        """The observations again; ValueError where the words are none that `compress` gives."""
        stack, x = Stack(words), np.zeros((count, *self.shape), np.uint8)
        with alone():
            for rows in track(list(self.blocks(count))[::-1]):
                x[rows] = self._pop(stack, rows.stop - rows.start, told.at(rows))
                stack.stir(rows.start)
        if not np.array_equal(stack.words, seed_words(seed)):
            raise ValueError("the words that the stack began with are not at its end")
        return x

    def blocks(self, count: int) -> Iterator[slice]:
        """Blocks that grow with the bits that those before them have left on the stack."""
        start = 0
        while start < count:
            size = max(1, min(BLOCK, start // (4 * self.codes), count - start))
            yield slice(start, start + size)
            start += size

    def _push(self, stack: Stack, x: np.ndarray, told: Told) -> None:
        posterior = self._posterior(self._values(x), told)
        z = [self._walk(stack.draw, posterior, len(x)) for _ in range(self.codes)]
        chosen = self._choose(stack, x, z, posterior, told)
        for place in range(self.codes - 1, 0, -1):  # all but the chosen, in the order of their places
            self._back(stack.undraw, _others(z, chosen, place), posterior)
        picked = _picked(z, chosen)
        stack.push(x.reshape(-1), self._tables(picked, told))
        self._push_prior(stack, picked, told)
        if self.codes > 1:
            stack.push(chosen, np.ones((len(x), self.codes)))

    def _pop(self, stack: Stack, count: int, told: Told) -> np.ndarray:
        chosen = stack.pop(np.ones((count, self.codes))) if self.codes > 1 else np.zeros(count, np.int64)
        picked = self._pop_prior(stack, count, told)
        x = stack.pop(self._tables(picked, told)).astype(np.uint8).reshape(count, *self.shape)
        posterior = self._posterior(self._values(x), told)
        others = [self._walk(stack.draw, posterior, count) for _ in range(1, self.codes)]
        z = _together(picked, others, chosen)
        if self.codes > 1:
            stack.push(chosen, self._weights(x, z, posterior, told))
        for codes in reversed(z):
            self._back(stack.undraw, codes, posterior)
        return x

    def _choose(
        self, stack: Stack, x: np.ndarray, z: list[np.ndarray], posterior: list[Layer], told: Told
    ) -> np.ndarray:
        if self.codes == 1:
            return np.zeros(len(x), np.int64)
        return stack.pop(self._weights(x, z, posterior, told))

    def _weights(self, x: np.ndarray, z: list[np.ndarray], posterior: list[Layer], told: Told) -> np.ndarray:
        """Tables (B, K) of the importance weights of codes."""
        each = []
        for codes in z:
            counts = self._tables(codes, told).reshape(len(x), -1, self.levels)
            taken = np.take_along_axis(counts, x.reshape(len(x), -1, 1).astype(np.int64), 2)[..., 0]
            likelihood = np.log(taken.clip(1) / counts.sum(-1)).sum(-1)
            each.append(likelihood + self._log_prior(codes, told) - self._log_layers(codes, posterior))
        return counted(np.stack(each, -1))

    def _posterior(self, x: Tensor, told: Told) -> list[Layer]:
        context = told.context
        return layers(self.model.infer(x, context, prior=self.model._prior(context, x)))

    def _values(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).double() / (self.levels - 1)

    def _tables(self, codes: np.ndarray, told: Told) -> np.ndarray:
        """Tables (B * values, levels) of p(x|z)."""
        p = self.model.decode(torch.from_numpy(codes / GRID)[None], told.context)
        joins = isinstance(p, LogisticMixture) and p.event_shape[0] > 1
        if joins or not isinstance(p, Factorised | LogisticMixture | distributions.Independent):
            raise InapplicableError(
                "the likelihood's values follow one another, and tables are of each by itself: choose another"
            )
        grid = self.grid.view(-1, *[1] * (2 + len(self.shape))).expand(-1, 1, 1, *p.event_shape)
        every = [p.each(some)[:, 0] for some in grid.split(CHUNK)]  # type: ignore[union-attr]
        return counted(torch.cat(every).movedim(0, -1).double().numpy()).reshape(-1, self.levels)

    def _walk(self, pop: Callable[[Whole], np.ndarray], drawn: list[Layer], count: int) -> np.ndarray:
        """Codes (count, latent), popped layer by layer."""
        codes = np.zeros((count, self.model.latent), np.int64)
        for part, given in drawn:
            codes[:, part] = pop(Whole(given(torch.from_numpy(codes / GRID))))
        return codes

    def _back(self, push: Callable[[np.ndarray, Whole], None], codes: np.ndarray, drawn: list[Layer]) -> None:
        """The same codes, pushed so that `_walk` finds them."""
        known = torch.from_numpy(codes / GRID)
        for part, given in reversed(drawn):
            push(codes[:, part], Whole(given(known)))

    def _log_layers(self, codes: np.ndarray, drawn: list[Layer]) -> np.ndarray:
        known = torch.from_numpy(codes / GRID)
        return sum(
            (Whole(given(known)).log_prob(codes[:, part]) for part, given in drawn),
            start=np.zeros(len(codes)),
        )

    def _prior(self, count: int, told: Told) -> Distribution:
        assert self.model.prior is not None
        prior: Distribution = self.model.prior(told.context, self.model)
        if isinstance(prior, MixtureSameFamily):
            return prior
        return prior if prior.batch_shape or not isinstance(prior, Gaussian) else widened(prior, count)

    def _components(
        self, codes: np.ndarray, prior: MixtureSameFamily
    ) -> tuple[np.ndarray, np.ndarray, Whole]:
        """Log-weights (B, K) of components with codes, the tables of weights alone, and the components."""
        weights, every = components(prior)
        whole = Whole(every)
        joint = whole.log_prob(codes[:, None]) + np.log(weights.clip(1) / weights.sum())
        return joint, np.broadcast_to(weights, joint.shape), whole

    def _push_prior(self, stack: Stack, codes: np.ndarray, told: Told) -> None:
        prior = self._prior(len(codes), told)
        if not isinstance(prior, MixtureSameFamily):
            self._back(stack.push_codes, codes, layers(prior))
            return
        joint, weights, whole = self._components(codes, prior)
        component = stack.pop(counted(joint))
        stack.push_codes(codes, whole.at(component))
        stack.push(component, weights)

    def _pop_prior(self, stack: Stack, count: int, told: Told) -> np.ndarray:
        prior = self._prior(count, told)
        if not isinstance(prior, MixtureSameFamily):
            return self._walk(stack.pop_codes, layers(prior), count)
        weights, every = components(prior)
        component = stack.pop(np.broadcast_to(weights, (count, len(weights))))
        codes = stack.pop_codes(Whole(every).at(component)).astype(np.int64)
        stack.push(component, counted(self._components(codes, prior)[0]))
        return codes

    def _log_prior(self, codes: np.ndarray, told: Told) -> np.ndarray:
        prior = self._prior(len(codes), told)
        if not isinstance(prior, MixtureSameFamily):
            return self._log_layers(codes, layers(prior))
        found: np.ndarray = np.logaddexp.reduce(self._components(codes, prior)[0], -1)
        return found


def _picked(z: list[np.ndarray], chosen: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.stack(z)[chosen, np.arange(len(chosen))]
    return found


def _others(z: list[np.ndarray], chosen: np.ndarray, place: int) -> np.ndarray:
    """The codes at a place, from 1 on, among those that were not chosen."""
    behind = place - 1 + (place - 1 >= chosen)
    return _picked(z, behind)


def _together(picked: np.ndarray, others: list[np.ndarray], chosen: np.ndarray) -> list[np.ndarray]:
    """All codes in their places again."""
    z = np.zeros((len(others) + 1, *picked.shape), np.int64)
    rows = np.arange(len(chosen))
    z[chosen, rows] = picked
    for place, codes in enumerate(others):
        z[place + (place >= chosen), rows] = codes
    return list(z)
