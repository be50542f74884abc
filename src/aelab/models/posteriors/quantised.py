"""Posteriors whose codes are entries of codebooks, at each place of a map or in each part of a vector."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models import distributions
from aelab.models.posteriors.base import Features, Posterior, head, layout_of
from aelab.models.posteriors.quantisers import Quantiser, straight_through

Gradient = Callable[[Tensor, Tensor], Tensor]


class Indexed(Posterior, ABC):
    """A posterior of codes that are made of T symbols.

    symbols: the grid that they are in, as (H, W) or (T,). quantisers: what chooses them, in their order.
    """

    codes: int
    symbols: tuple[int, ...]

    @property
    @abstractmethod
    def quantisers(self) -> list[Quantiser]: ...

    @abstractmethod
    def symbols_of(self, z: Tensor) -> Tensor:
        """Codes (..., latent) -> the symbols that they are made of, (..., T) int64."""

    @abstractmethod
    def code_of(self, symbols: Tensor) -> Tensor:
        """Symbols (..., T) -> the code (..., latent)."""

    @abstractmethod
    def by_table(self, symbols: Tensor) -> list[Tensor]:
        """Symbols (..., T) -> those of each table of the quantisers, in their order."""


class Places(nn.Module):
    """The places of a map (D, H, W), or the parts of `size` numbers of a vector, through one quantiser.

    forward: features (B, numbers) -> Quantised over a flat code: the vectors that stand for them, in front,
    and where these are sums of several levels, all levels but the last behind them, from which the symbols
    are known again.
    """

    book: Tensor

    def __init__(
        self, layout: Sequence[int], size: int, quantiser: Callable[..., Quantiser], gradient: Gradient
    ) -> None:
        super().__init__()
        self.is_map, self.numbers, self.gradient = len(layout) > 1, math.prod(layout), gradient
        if not self.is_map and (size < 1 or layout[0] % size):
            raise ConfigurationError(
                f"model.posterior.size={size}: vectors of so many numbers do not make up latent={layout[0]}; "
                "choose a divisor of it"
            )
        self.size = layout[0] if self.is_map else size
        self.quantiser = quantiser(size=self.size)
        grid = tuple(layout[1:]) if self.is_map else (layout[0] // size,)
        self.count, self.books = math.prod(grid), self.quantiser.books
        self.symbols = grid if self.books == 1 else (*grid, self.books)
        self.latent = self.numbers * self.quantiser.levels
        book = torch.arange(self.count * self.books) % self.books
        self.register_buffer("book", book, persistent=False)

    def forward(self, features: Tensor) -> distributions.Quantised:
        found = self.quantiser(self.split(features).flatten(0, 1))
        whole = sum(found.levels[1:], start=found.levels[0])
        levels = [self.gradient(found.source, whole), *(level.detach() for level in found.levels[:-1])]
        back = partial(torch.unflatten, dim=0, sizes=(-1, self.count))
        return distributions.Quantised(
            self._joined([back(level) for level in levels]),
            found.symbols.view(len(features), -1),
            self.book,
            self.quantiser.codes,
            [back(vectors) for vectors in found.asked],
            [back(vectors) for vectors in found.chosen],
        )

    def split(self, flat: Tensor) -> Tensor:
        """(..., numbers) -> the vectors, (..., places, size)."""
        if not self.is_map:
            return flat.unflatten(-1, (self.count, self.size))
        return flat.unflatten(-1, (self.size, self.count)).transpose(-1, -2)

    def _joined(self, levels: Sequence[Tensor]) -> Tensor:
        turned = (level.transpose(-1, -2) if self.is_map else level for level in levels)
        return torch.cat([level.flatten(-2) for level in turned], -1)

    def symbols_of(self, z: Tensor) -> Tensor:
        """As of `Indexed`."""
        whole, *first = (self.split(part) for part in z.split(self.numbers, -1))
        levels = [*first, whole - sum(first[1:], start=first[0]) if first else whole]
        found = self.quantiser.symbols([level.reshape(-1, self.size) for level in levels])
        return found.view(*z.shape[:-1], -1)

    def code_of(self, symbols: Tensor) -> Tensor:
        """As of `Indexed`."""
        levels = self.quantiser.entries(symbols.reshape(-1, self.books))
        whole = sum(levels[1:], start=levels[0])
        shape = (*symbols.shape[:-1], self.count, self.size)
        return self._joined([level.view(shape) for level in (whole, *levels[:-1])])

    def by_table(self, symbols: Tensor) -> list[Tensor]:
        """As of `Indexed`."""
        return list(symbols.unflatten(-1, (self.count, self.books)).unbind(-1))


class Quantised(Indexed):
    """The nearest of finitely many codes, at each place of a map, or for each `size` numbers of a vector (van
    den Oord, Vinyals and Kavukcuoglu 2017, https://arxiv.org/abs/1711.00937).

    quantiser: size -> what chooses them. gradient: how that of a code reaches the features.
    """

    def __init__(
        self,
        features: Features,
        sizes: Sizes,
        quantiser: Callable[..., Quantiser],
        size: int = 2,
        gradient: Gradient = straight_through,
    ) -> None:
        layout = layout_of(features, sizes.latent)
        places = Places(layout, size, quantiser, gradient)
        super().__init__(layout, places.latent)
        self.projection, self.places = head(features, sizes.latent), places
        self.codes, self.symbols = places.quantiser.codes, places.symbols
        self.units = self.codes * places.books

    def forward(self, h: Tensor, step: int = 0) -> distributions.Quantised:
        return self.places(self.projection(h).float().flatten(1))

    @property
    def quantisers(self) -> list[Quantiser]:
        return [self.places.quantiser]

    def symbols_of(self, z: Tensor) -> Tensor:
        return self.places.symbols_of(z)

    def code_of(self, symbols: Tensor) -> Tensor:
        return self.places.code_of(symbols)

    def by_table(self, symbols: Tensor) -> list[Tensor]:
        return self.places.by_table(symbols)


class TwoLevels(Indexed):
    """A coarse map of codes at half the sides, and a fine one that is read off the features and the coarse
    (Razavi, van den Oord and Vinyals 2019, https://arxiv.org/abs/1906.00446).

        h ──halved──▶ coarse codes ──────────┬──▶ (doubled) ─┐
        h ──────────────────────────▶ head ◀─┘               ├──▶ what the decoder reads, (2 latent, H, W)
                                       └──▶ fine codes ──────┘

    Of a vector of features both are vectors. Options as of `Quantised`; the coarse symbols come first.
    """

    def __init__(
        self,
        features: Features,
        sizes: Sizes,
        quantiser: Callable[..., Quantiser],
        size: int = 2,
        gradient: Gradient = straight_through,
    ) -> None:
        fine = layout_of(features, sizes.latent)
        coarse = (fine[0], *(-(-side // 2) for side in fine[1:]))
        tops, bottoms = (Places(layout, size, quantiser, gradient) for layout in (coarse, fine))
        if tops.quantiser.levels > 1:
            raise ConfigurationError("posterior=two_levels has maps for levels: choose quantiser.depth=1")
        super().__init__((2 * fine[0], *fine[1:]))
        self.grids, self.halved = (coarse, fine), _halved(features, sizes.latent)
        self.projection = head(_beside(features, sizes.latent), sizes.latent)
        self.coarse, self.fine = tops, bottoms
        self.codes, self.symbols = tops.quantiser.codes, (len(tops.book) + len(bottoms.book),)
        self.units = self.codes * (tops.books + bottoms.books)

    def forward(self, h: Tensor, step: int = 0) -> distributions.Quantised:
        top = self.coarse(self.halved(h).float().flatten(1))
        above = self._doubled(top.value)
        bottom = self.fine(self.projection(torch.cat([h, above.to(h.dtype)], 1)).float().flatten(1))
        return distributions.Quantised(
            self._joined(bottom.value, above),
            torch.cat([top.symbols, bottom.symbols], -1),
            torch.cat([top.book, bottom.book + self.coarse.books]),
            top.codes,
            [*top.asked, *bottom.asked],
            [*top.chosen, *bottom.chosen],
        )

    def _doubled(self, flat: Tensor) -> Tensor:
        """A flat coarse code (B, numbers) -> on the sides of the fine one, (B, *fine)."""
        coarse, fine = self.grids
        value = flat.unflatten(-1, coarse)
        for dim, side in enumerate(fine[1:], start=-len(fine) + 1):
            value = value.repeat_interleave(2, dim).narrow(dim, 0, side)
        return value

    def _joined(self, fine: Tensor, above: Tensor) -> Tensor:
        dims = -len(self.layout)
        return torch.cat([fine.unflatten(-1, self.grids[1]), above], dims).flatten(dims)

    @property
    def quantisers(self) -> list[Quantiser]:
        return [self.coarse.quantiser, self.fine.quantiser]

    def symbols_of(self, z: Tensor) -> Tensor:
        bottom, above = z.unflatten(-1, self.layout).chunk(2, -len(self.layout))
        top = above[..., ::2, ::2] if len(self.layout) > 1 else above
        flat = [part.flatten(-len(self.layout)) for part in (top, bottom)]
        return torch.cat([p.symbols_of(z) for p, z in zip((self.coarse, self.fine), flat, strict=True)], -1)

    def code_of(self, symbols: Tensor) -> Tensor:
        top, bottom = self._apart(symbols)
        return self._joined(self.fine.code_of(bottom), self._doubled(self.coarse.code_of(top)))

    def by_table(self, symbols: Tensor) -> list[Tensor]:
        top, bottom = self._apart(symbols)
        return [*self.coarse.by_table(top), *self.fine.by_table(bottom)]

    def _apart(self, symbols: Tensor) -> tuple[Tensor, ...]:
        return symbols.split([len(self.coarse.book), len(self.fine.book)], -1)


def _halved(features: Features, outputs: int) -> nn.Module:
    """From features to `outputs` numbers, at half the places of a map, rounding up."""
    if isinstance(features, int):
        return nn.Linear(features, outputs)
    return nn.Conv2d(features[0], outputs, 3, stride=2, padding=1)


def _beside(features: Features, more: int) -> Features:
    return features + more if isinstance(features, int) else (features[0] + more, *features[1:])
