"""Codes that are entries of a codebook: the point that an encoder chooses, and densities over its symbols."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, register_kl

from aelab.models.distributions.base import ONE, Shape


class Symbolic(Protocol):
    """What knows which symbols a code is made of. codes: how many symbols there are."""

    codes: int | None

    def symbols_of(self, z: Tensor) -> Tensor:
        """Codes (..., latent) -> the symbols that they are made of, (..., T) int64."""
        ...

    def code_of(self, symbols: Tensor) -> Tensor:
        """Symbols (..., T) -> the code (..., latent)."""
        ...


class Quantised(Distribution):
    """A code made of entries of a codebook: all mass at one of finitely many points, so that it has a
    probability, 1, and its rate under a prior of symbols is the prior's code length.

    value: (B, latent), whose gradient goes to the encoder. symbols: (B, T), the entries' numbers.
    book: (T,), which codebook each of them is of. codes: entries of a book.
    asked, chosen: one (B, places, size) for each book, what its entries stand for, and the entries with a
        gradient of their own; none where no entry is stored.

    >>> zeros = torch.zeros(2, 1, dtype=torch.int64)
    >>> q = Quantised(torch.ones(2, 3), zeros, zeros[0], codes=4)
    >>> q.log_prob(torch.ones(2, 3)), q.activity()
    (tensor([0., 0.]), tensor([[1., 0., 0., 0.],
            [1., 0., 0., 0.]]))
    """

    has_rsample = True
    space = "codebook"
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        value: Tensor,
        symbols: Tensor,
        book: Tensor,
        codes: int,
        asked: Sequence[Tensor] = (),
        chosen: Sequence[Tensor] = (),
    ) -> None:
        self.value, self.symbols, self.book, self.codes = value, symbols, book, codes
        self.asked, self.chosen = list(asked), list(chosen)
        super().__init__(value.shape[:1], value.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.value

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        return self.value.expand(*sample_shape, *self.value.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.where((value == self.value).all(-1), 0.0, -math.inf)

    def entropy(self) -> Tensor:
        return self.value.new_zeros(self.batch_shape)

    def activity(self) -> Tensor:
        """How often each observation has each entry of each book: (B, books * codes)."""
        counts = self.value.new_zeros(len(self.value), (int(self.book.max()) + 1) * self.codes)
        ones = self.value.new_ones(()).expand(self.symbols.shape)
        return counts.scatter_add(1, self.symbols + self.book * self.codes, ones)


class ReadsSymbols(Protocol):
    """What tells each symbol of a code, given those before it and a context (N, C) or None."""

    def logits(self, symbols: Tensor, context: Tensor | None) -> Tensor:
        """Of all symbols (N, T), each of those before it alone: (N, T, codes)."""
        ...

    def step(self, before: Tensor, context: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """Of the symbol that follows those of (N, t): (N, codes), and what is kept of them, None at first."""
        ...


class SymbolPrior(Distribution):
    """The distribution of a code whose T symbols are drawn one after the other.

    reader: of the symbols; None: every symbol alike. book: what symbols a code is made of.
    context: (B, C) or None, which decides the batch shape.
    """

    space = "codebook"
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        reader: ReadsSymbols | None,
        book: Symbolic,
        length: int,
        codes: int,
        latent: int,
        context: Tensor | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.reader, self.book, self.context = reader, book, context
        self.length, self.codes, self.device = length, codes, device
        batch = Size() if context is None else context.shape[:1]
        super().__init__(batch, Size([latent]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        if value.dim() == 3 and len(value) > 1 and value.stride(0) == 0:  # one code of each, again and again
            return self.log_prob(value[:1]).expand(value.shape[:-1])
        return self.log_prob_of(self.book.symbols_of(value))

    def log_prob_of(self, symbols: Tensor) -> Tensor:
        """log p of symbols (..., T), in nats: (...)."""
        return self.log_prob_each(symbols).sum(-1)

    def log_prob_each(self, symbols: Tensor) -> Tensor:
        """log p of each of the symbols (..., T) given those before it, in nats: (..., T)."""
        if self.reader is None:
            return torch.full(symbols.shape, -math.log(self.codes), device=symbols.device)
        logits = self.predicted(symbols)
        return logits.log_softmax(-1).gather(-1, symbols[..., None])[..., 0]

    def predicted(self, symbols: Tensor) -> Tensor:
        """The logits of each symbol given those before it: (..., T) -> (..., T, codes), float32."""
        if self.reader is None:
            return torch.zeros(self.codes, device=symbols.device).expand(*symbols.shape, self.codes)
        flat = symbols.reshape(-1, self.length)
        return self.reader.logits(flat, self._told(len(flat))).float().view(*symbols.shape, self.codes)

    def following(self, before: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The logits of the symbol behind those of (N, t): (N, codes), float32, and what is kept of them."""
        if self.reader is None:
            return torch.zeros(len(before), self.codes, device=before.device), None
        logits, state = self.reader.step(before, self._told(len(before)), state)
        return logits.float(), state

    def _told(self, count: int) -> Tensor | None:
        """The context of `count` codes, (N, C)."""
        return None if self.context is None else self.context.repeat(count // max(1, len(self.context)), 1)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        shape = (*sample_shape, *self.batch_shape, self.length)
        if self.reader is None:
            return self.book.code_of(torch.randint(self.codes, shape, device=self.device))
        symbols = torch.zeros(shape, dtype=torch.int64, device=self.device).view(-1, self.length)
        state = None
        for place in range(self.length):
            logits, state = self.following(symbols[:, :place], state)
            noise = -torch.empty_like(logits).exponential_().log()
            symbols[:, place] = (logits + noise).argmax(-1)
        return self.book.code_of(symbols.view(shape))


@register_kl(Quantised, SymbolPrior)
def _kl_to_symbols(q: Quantised, p: SymbolPrior) -> Tensor:
    return -p.log_prob_of(q.symbols)
