"""Quantisers: from vectors to the nearest of finitely many, by learned codebooks or by rounding."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.precision import in_float32

MOST = 1 << 16  # symbols of a place, which are counted one by one
FORGOTTEN = 1e-10  # a share of the vectors below which a mean over them is kept as it is


class Quantisation(NamedTuple):
    """What a quantiser makes of N vectors of size D.

    symbols: (N, books). levels: one or more (N, D), whose sum stands for the vectors.
    source: (N, D), what the sum's gradient goes to. asked, chosen: one (N, size) for each book, what it was
    asked for, and its entry with a gradient of its own; none where no entry is trained.
    """

    symbols: Tensor
    levels: list[Tensor]
    source: Tensor
    asked: list[Tensor]
    chosen: list[Tensor]


class Quantiser(nn.Module, ABC):
    """forward: vectors (N, D) -> Quantisation. Built with their `size` D.

    codes: symbols of each book. books: symbols of a vector. levels: vectors whose sum stands for it.
    """

    codes: int
    books: int = 1
    levels: int = 1

    @abstractmethod
    def forward(self, vectors: Tensor) -> Quantisation: ...

    @abstractmethod
    def entries(self, symbols: Tensor) -> list[Tensor]:
        """Symbols (N, books) -> the levels, (N, D) each."""

    @abstractmethod
    def symbols(self, levels: Sequence[Tensor]) -> Tensor:
        """The inverse of `entries`."""


class Entries(nn.Module, ABC):
    """The entries of a codebook. forward: vectors (N, size) -> the number of the nearest entry, (N,) int64.

    table: (codes, size), the entries.
    share: (codes,), of late vectors that each entry stands for, a moving average; 0 at the start.
    """

    share: Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.register_buffer("share", torch.zeros(codes))

    @property
    @abstractmethod
    def table(self) -> Tensor: ...

    def forward(self, vectors: Tensor) -> Tensor:
        table = self.table.detach()
        with in_float32(vectors.device):
            return torch.addmm(0.5 * table.square().sum(1), vectors.detach(), table.T, alpha=-1).argmin(1)

    def follow(self, vectors: Tensor, symbols: Tensor, decay: float) -> None:
        """Count a batch: vectors (N, size), each of which has the entry `symbols` (N,)."""
        self.share.lerp_(_shares(symbols, len(self.share)), 1 - decay)

    def restart(self, vectors: Tensor, least: float) -> None:
        """Move the entries whose share fell below `least` of the even one to vectors (codes, size)."""
        dead = self.share < least / len(self.share)
        self.share.masked_fill_(dead, 1 / len(self.share))
        self.move(dead, vectors)

    @abstractmethod
    def move(self, which: Tensor, vectors: Tensor) -> None:
        """Put vectors (codes, size) in the place of the entries of a mask (codes,)."""


class Codebook(Entries):
    """Entries that a gradient moves (van den Oord, Vinyals and Kavukcuoglu 2017,
    https://arxiv.org/abs/1711.00937)."""

    def __init__(self, codes: int, size: int) -> None:
        super().__init__(codes)
        self.entries = nn.Parameter(torch.empty(codes, size).uniform_(-1 / codes, 1 / codes))

    @property
    def table(self) -> Tensor:
        return self.entries

    def move(self, which: Tensor, vectors: Tensor) -> None:
        self.entries.data.copy_(torch.where(which[:, None], vectors, self.entries.data))


class AveragedCodebook(Entries):
    """Entries that are moving averages of the vectors they stand for, weighed alike from the start (van den
    Oord et al. 2017, appendix A)."""

    start: Tensor
    total: Tensor
    weight: Tensor

    def __init__(self, codes: int, size: int) -> None:
        super().__init__(codes)
        self.register_buffer("start", torch.empty(codes, size).uniform_(-1 / codes, 1 / codes))
        self.register_buffer("total", torch.zeros(codes, size))
        self.register_buffer("weight", torch.zeros(codes))

    @property
    def table(self) -> Tensor:
        """The means; before an entry stood for anything, where it began."""
        weight = self.weight[:, None]
        return torch.where(weight > 0, self.total / weight.clamp_min(FORGOTTEN), self.start)

    def follow(self, vectors: Tensor, symbols: Tensor, decay: float) -> None:
        super().follow(vectors, symbols, decay)
        share = _shares(symbols, len(self.share))
        total = torch.zeros_like(self.total).index_add_(0, symbols, vectors) / len(vectors)
        weight = decay * self.weight + (1 - decay) * share
        kept = weight < FORGOTTEN
        self.total.copy_(torch.where(kept[:, None], self.total, decay * self.total + (1 - decay) * total))
        self.weight.copy_(torch.where(kept, self.weight, weight))

    def move(self, which: Tensor, vectors: Tensor) -> None:
        self.weight.masked_fill_(which, 1 / len(self.weight))
        self.total.copy_(torch.where(which[:, None], vectors / len(self.weight), self.total))


def _shares(symbols: Tensor, codes: int) -> Tensor:
    counts = torch.zeros(codes, device=symbols.device)
    return counts.index_add_(0, symbols, counts.new_ones(()).expand(len(symbols))) / len(symbols)


class VectorQuantiser(Quantiser):
    """The nearest entry of a codebook; of a book for each of so many `groups` of a vector's numbers (Jegou,
    Douze and Schmid 2011), and `depth` of them in turn, each for what the one before it left over (Lee et al.
    2022, https://arxiv.org/abs/2203.01941).

    book: (codes, size) -> the codebook.
    """

    def __init__(
        self,
        size: int,
        codes: int = 512,
        depth: int = 1,
        groups: int = 1,
        book: Callable[[int, int], Entries] = Codebook,
    ) -> None:
        super().__init__()
        place = "model.posterior.quantiser"
        if not 2 <= codes <= MOST:
            raise ConfigurationError(f"{place}.codes={codes}: a codebook has from 2 to {MOST:,} entries")
        if depth < 1 or groups < 1 or size % groups:
            raise ConfigurationError(
                f"{place}.depth={depth}, groups={groups}: choose at least 1 of both, and groups that "
                f"divide the {size} numbers of a vector"
            )
        self.codes, self.levels, self.groups, self.size = codes, depth, groups, size // groups
        self.books = depth * groups
        tables = nn.ModuleList(book(codes, self.size) for _ in range(self.books))
        self.tables: Sequence[Entries] = tables  # type: ignore[assignment]

    def forward(self, vectors: Tensor) -> Quantisation:
        symbols, asked, chosen, levels = [], [], [], []
        rest = list(vectors.split(self.size, -1))
        for level in range(self.levels):
            for group, table in enumerate(self._at(level)):
                symbols.append(table(rest[group]))
                asked.append(rest[group])
                chosen.append(F.embedding(symbols[-1], table.table))
                rest[group] = rest[group] - chosen[-1].detach()
            levels.append(torch.cat(chosen[-self.groups :], -1))
        return Quantisation(torch.stack(symbols, -1), levels, vectors, asked, chosen)

    def _at(self, level: int) -> Sequence[Entries]:
        return self.tables[level * self.groups : (level + 1) * self.groups]

    def entries(self, symbols: Tensor) -> list[Tensor]:
        found = [F.embedding(s, b.table) for s, b in zip(symbols.unbind(-1), self.tables, strict=True)]
        return [torch.cat(found[i * self.groups : (i + 1) * self.groups], -1) for i in range(self.levels)]

    def symbols(self, levels: Sequence[Tensor]) -> Tensor:
        parts = [part for level in levels for part in level.split(self.size, -1)]
        return torch.stack([table(part) for table, part in zip(self.tables, parts, strict=True)], -1)


class FiniteScalar(Quantiser):
    """Each number squeezed into a few levels and rounded (Mentzer et al. 2024,
    https://arxiv.org/abs/2309.15505): nothing to learn, and nothing that dies.

    levels: of each number, or of all of them.
    """

    steps: Tensor
    radix: Tensor

    def __init__(self, size: int, levels: int | Sequence[int] = 5) -> None:
        super().__init__()
        steps = [levels] * size if isinstance(levels, int) else list(levels)
        place = f"model.posterior.quantiser.levels={levels}"
        if len(steps) != size:
            raise ConfigurationError(
                f"{place} are of {len(steps)} numbers, and a vector has {size}: give one number for all, or "
                f"latent={len(steps)} where the code is a map, or model.posterior.size={len(steps)} where it "
                "is a vector"
            )
        if min(steps) < 2 or math.prod(steps) > MOST:
            raise ConfigurationError(
                f"{place} of {size} numbers: choose 2 or more of each, and a product, the symbols "
                f"of a place, of at most {MOST:,}"
            )
        self.codes = math.prod(steps)
        self.register_buffer("steps", torch.tensor(steps, dtype=torch.float32), persistent=False)
        radix = torch.tensor([math.prod(steps[:i]) for i in range(size)])
        self.register_buffer("radix", radix, persistent=False)

    def forward(self, vectors: Tensor) -> Quantisation:
        half = (self.steps - 1) * (1 + 1e-3) / 2
        offset = 0.5 * (self.steps % 2 == 0)
        squeezed = (vectors + torch.atanh(offset / half)).tanh() * half - offset
        levels = squeezed.detach().round() / self._width
        return Quantisation(self.symbols([levels]), [levels], squeezed / self._width, [], [])

    @property
    def _width(self) -> Tensor:
        return torch.div(self.steps, 2, rounding_mode="floor")

    def entries(self, symbols: Tensor) -> list[Tensor]:
        digits = torch.div(symbols, self.radix, rounding_mode="floor") % self.steps.long()
        return [(digits - self._width) / self._width]

    def symbols(self, levels: Sequence[Tensor]) -> Tensor:
        digits = (levels[0] * self._width + self._width).round().long()
        return (digits * self.radix).sum(-1, keepdim=True)


class LookupFree(Quantiser):
    """The sign of each number (Yu et al. 2024, https://arxiv.org/abs/2310.05737): 2^D
    symbols, none stored."""

    radix: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        if 1 << size > MOST:
            raise ConfigurationError(
                f"posterior=lookup_free has 2^{size} symbols of {size} numbers: at most {MOST:,}, those of "
                f"{MOST.bit_length() - 1}, are counted: choose a lower latent, or model.posterior.size"
            )
        self.codes = 1 << size
        self.register_buffer("radix", 2 ** torch.arange(size), persistent=False)

    def forward(self, vectors: Tensor) -> Quantisation:
        signs = torch.where(vectors.detach() > 0, 1.0, -1.0)
        return Quantisation(self.symbols([signs]), [signs], vectors, [vectors], [signs])

    def entries(self, symbols: Tensor) -> list[Tensor]:
        return [2.0 * (torch.div(symbols, self.radix, rounding_mode="floor") % 2) - 1]

    def symbols(self, levels: Sequence[Tensor]) -> Tensor:
        return ((levels[0] > 0) * self.radix).sum(-1, keepdim=True)


def straight_through(source: Tensor, entries: Tensor) -> Tensor:
    """The entries to the bit, whose gradient is handed on to the source as it is (Bengio et al. 2013,
    https://arxiv.org/abs/1308.3432)."""
    return entries.detach() + (source - source.detach())


def rotated(source: Tensor, entries: Tensor) -> Tensor:
    """The entries to the bit, as if the source (N, D) had been rotated and scaled onto them: the gradient
    keeps its angle to the vector (Fifty et al. 2024, https://arxiv.org/abs/2410.06424)."""
    q, e = entries.detach(), source.detach()
    from_, to = F.normalize(e, dim=-1), F.normalize(q, dim=-1)
    middle = F.normalize(from_ + to, dim=-1)
    scale = q.norm(dim=-1, keepdim=True) / e.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    along, across = ((v * source).sum(-1, keepdim=True) for v in (from_, middle))
    moved = scale * (source - 2 * across * middle + 2 * along * to)
    return q + (moved - moved.detach())
