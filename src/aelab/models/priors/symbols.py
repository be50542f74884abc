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
