"""Sequences of tokens: whole numbers, of which one ends a sequence and one fills it up."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from aelab.core.errors import InapplicableError
from aelab.models.distributions.base import ONE, Shape

PAD, END = 0, 1  # tokens from 2 on say something
Choose = Callable[[Tensor], Tensor]
"""From logits (N, symbols) to one of the symbols, (N,) int64."""


def lengths(tokens: Tensor) -> Tensor:
    """How many tokens (..., T) there are before the padding, the end included: (...).

    >>> lengths(torch.tensor([[5, 4, END, PAD], [3, END, PAD, PAD]]))
    tensor([3, 2])
    """
    return (tokens != PAD).sum(-1)


def trimmed(tokens: Tensor) -> Tensor:
    """Tokens (..., T) without the places where all of them are padding, so that padding costs no time and
    changes no bit of what is computed; in a graph that is exported all places stay."""
    if torch.compiler.is_exporting():
        return tokens
    return tokens[..., : max(1, int(lengths(tokens).max()))]


def padded(tokens: Tensor) -> Tensor:
    """Tokens (..., T) with padding alone behind the first end.

    >>> padded(torch.tensor([5, END, 4, 3]))
    tensor([5, 1, 0, 0])
    """
    ended = (tokens == END).cumsum(-1) - (tokens == END).long() > 0
    return tokens.masked_fill(ended, PAD)


class Autoregressive(Distribution):
    """A sequence of at most `length` tokens, each given those before it and what it is told.

    Padding behind a sequence has no probability of its own: a sequence without an end fills its length.

    told: (*batch, width). logits: tokens (N, T) and told (N, width) -> (N, T, symbols), of all tokens but PAD
    given those before it. walk: told (N, width), how many tokens, and a choice -> tokens (N, length), each
    chosen by its logits given those chosen before.
    """

    support = constraints.nonnegative_integer
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        told: Tensor,
        length: int,
        logits: Callable[[Tensor, Tensor], Tensor],
        walk: Callable[[Tensor, int, Choose], Tensor],
    ) -> None:
        self.told, self.logits, self.walk = told, logits, walk
        self.read: tuple[Tensor, Tensor] | None = None  # tokens, and what was predicted of them
        super().__init__(told.shape[:-1], Size([length]), validate_args=False)

    def predicted(self, value: Tensor) -> Tensor:
        """The logits of each token of (B, T) given the true ones before it: (*batch, t, symbols), float32,
        for as many places as the longest sequence has. Several readers share one pass."""
        if self.read is None or self.read[0] is not value:
            tokens = trimmed(value).expand(*self.batch_shape, -1)
            flat = self.logits(tokens.flatten(0, -2), self.told.flatten(0, -2))
            self.read = value, flat.float().unflatten(0, self.batch_shape)
        return self.read[1]

    def _nats(self, value: Tensor) -> Tensor:
        logits = self.predicted(value)
        wanted = (trimmed(value) - 1).expand(logits.shape[:-1])  # PAD is no symbol, and -1 is left out
        flat = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), ignore_index=-1, reduction="none")
        return flat.view(wanted.shape)

    def each(self, value: Tensor) -> Tensor:
        """The log-probability of each token, in nats, 0 where there is padding: (*batch, T)."""
        nats = self._nats(value)
        return F.pad(-nats, (0, value.shape[-1] - nats.shape[-1]))

    def log_prob(self, value: Tensor) -> Tensor:
        return -self._nats(value).sum(-1)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        told = self.told.expand(*sample_shape, *self.told.shape)
        return self._walked(
            told, lambda logits: (logits - torch.empty_like(logits).exponential_().log()).argmax(-1)
        )

    @property
    def mode(self) -> Tensor:
        """The most likely token at each place given those before it, one after the other: (*batch, T)."""
        return self._walked(self.told, lambda logits: logits.argmax(-1))

    @property
    def mean(self) -> Tensor:
        raise InapplicableError("tokens are names and no amounts: there is no mean of sequences of them")

    @torch.no_grad()
    def _walked(self, told: Tensor, choose: Choose) -> Tensor:
        flat = self.walk(told.flatten(0, -2), self.event_shape[0], choose)
        return padded(flat).unflatten(0, told.shape[:-1])
