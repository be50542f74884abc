"""Priors of codes that are entries of a codebook: each alike, or each given those before it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import SymbolPrior
from aelab.models.networks.causal import Causal
from aelab.models.priors.base import Encodes, Prior

Logits = Callable[[Tensor, Tensor | None], Tensor]

NO_CODEBOOK = (
    "codes here are no entries of a codebook, of which prior=uniform_codebook, recurrent, transformer and "
    "pixel_cnn are: choose posterior=vector_quantised, or prior=standard_normal"
)


class OfSymbols(Prior, ABC):
    """A prior of the symbols of a code."""

    zero: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        if sizes.codes is None:
            raise ConfigurationError(NO_CODEBOOK)
        self.codes, self.latent, self.length = sizes.codes, sizes.latent, math.prod(sizes.symbols)
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    @abstractmethod
    def forward(self, context: Tensor | None, model: Encodes) -> SymbolPrior: ...

    def _over(
        self, model: Encodes, logits: Logits | None = None, context: Tensor | None = None
    ) -> SymbolPrior:
        book, device = model.posterior, self.zero.device
        return SymbolPrior(logits, book, self.length, self.codes, self.latent, context, device)


class UniformCodebook(OfSymbols):
    """Every entry alike, at each place: the prior that a VQ-VAE has while it is trained (van den Oord
    et al. 2017)."""

    def forward(self, context: Tensor | None, model: Encodes) -> SymbolPrior:
        return self._over(model)


class Autoregressive(OfSymbols):
    """Each symbol given those before it, by a network (van den Oord, Kalchbrenner and Kavukcuoglu 2016).

    network: (width, grid) -> what reads the symbols before. The context is added to what it reads.
    """

    def __init__(self, sizes: Sizes, network: Callable[..., Causal], width: int = 128) -> None:
        super().__init__(sizes)
        if width < 1:
            raise ConfigurationError(f"model.prior.width={width}: at least 1 is needed")
        self.symbol = nn.Embedding(self.codes, width)
        self.place = nn.Parameter(0.02 * torch.randn(self.length, width))
        self.told = nn.Linear(sizes.context, width) if sizes.context else None
        self.network = network(width=width, grid=tuple(sizes.symbols))
        self.output = nn.Linear(width, self.codes)

    def forward(self, context: Tensor | None, model: Encodes) -> SymbolPrior:
        return self._over(model, self.logits, context)

    def logits(self, symbols: Tensor, context: Tensor | None) -> Tensor:
        """Symbols (N, T), context (N, C) or None -> (N, T, codes), of each symbol given those before it."""
        before = F.pad(self.symbol(symbols[:, :-1]), (0, 0, 1, 0)) + self.place
        if self.told is not None and context is not None:
            before = before + self.told(context)[:, None]
        return self.output(self.network(before))


class PixelCNN(Causal):
    """Residual convolutions over a map of symbols, each of which sees the rows above, and in its own row the
    symbols before it (van den Oord et al. 2016, https://arxiv.org/abs/1606.05328)."""

    def __init__(self, width: int, grid: tuple[int, ...], layers: int = 4, kernel: int = 5) -> None:
        super().__init__()
        if len(grid) != 2 or kernel < 3 or kernel % 2 == 0:
            raise ConfigurationError(
                f"prior=pixel_cnn, of a kernel of odd size {kernel}, is of a map of symbols and these are "
                f"{list(grid)}: choose network=conv with model.encoder.flat=false, or prior=recurrent"
            )
        self.grid = grid
        self.layers = nn.ModuleList(_Gated(width, kernel) for _ in range(layers))

    def forward(self, inputs: Tensor) -> Tensor:
        # What stands at a place is of the symbol before it, the last of the row above at a row's beginning.
        above = here = inputs.transpose(1, 2).unflatten(-1, self.grid)
        for layer in self.layers:
            above, here = layer(above, here)
        return here.flatten(2).transpose(1, 2)


class _Gated(nn.Module):
    """Two stacks: of the rows above and this one's rest, which has no blind spot, and of the row so far."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.reach = kernel // 2
        self.above = nn.Conv2d(width, 2 * width, (self.reach + 1, kernel))
        self.row = nn.Conv2d(width, 2 * width, (1, self.reach + 1))
        self.joined = nn.Conv2d(2 * width, 2 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, above: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
        reach = self.reach
        # Of row r the rows up to r - 1: this one's own places to the right are of symbols yet to come.
        rows = self.above(F.pad(above, (reach, reach, reach + 1, 0))[:, :, :-1])
        row = self.row(F.pad(here, (reach, 0))) + self.joined(rows)
        return above + F.glu(rows, 1), here + self.out(F.glu(row, 1))
