"""Priors of codes that are entries of a codebook: each alike, or each given those before it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import SymbolPrior
from aelab.models.distributions.quantised import ReadsSymbols
from aelab.models.networks.causal import Causal
from aelab.models.priors.base import Encodes, Prior

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
        self, model: Encodes, reader: ReadsSymbols | None = None, context: Tensor | None = None
    ) -> SymbolPrior:
        book, device = model.posterior, self.zero.device
        return SymbolPrior(reader, book, self.length, self.codes, self.latent, context, device)


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
        return self._over(model, self, context)

    def logits(self, symbols: Tensor, context: Tensor | None) -> Tensor:
        """As of `ReadsSymbols`."""
        return self.output(self.network(self._inputs(symbols[:, :-1], self.place, context)))

    def step(self, before: Tensor, context: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """As of `ReadsSymbols`."""
        inputs = self._inputs(before[:, -1:], self.place[before.shape[1]], context)[:, -1:]
        features, state = self.network.step(inputs, state)
        return self.output(features)[:, 0], state

    def _inputs(self, before: Tensor, place: Tensor, context: Tensor | None) -> Tensor:
        """Symbols (N, t) behind an empty place, told their places: (N, 1 + t, width)."""
        inputs = F.pad(self.symbol(before), (0, 0, 1, 0)) + place
        return inputs if self.told is None or context is None else inputs + self.told(context)[:, None]
