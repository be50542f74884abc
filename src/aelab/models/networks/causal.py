"""Causal networks: what they give at a place reads the inputs up to that place alone."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError


class Causal(nn.Module, ABC):
    """forward: inputs (N, T, width) -> features (N, T, width), each of which reads the inputs up to its own
    place. Built with the width and, where places stand in one, their grid."""

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor: ...

    def step(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One more place, (N, 1, width), and what is kept of those before, None at first: the features there
        and what is kept now. By default all inputs are kept, and read again."""
        seen = inputs if state is None else torch.cat([state, inputs], 1)
        return self(seen)[:, -1:], seen


class Recurrent(Causal):
    """A recurrent network of `layers`.

    cell: torch's GRU (Cho et al. 2014, https://arxiv.org/abs/1406.1078) or LSTM (Hochreiter and Schmidhuber
    1997).
    """

    def __init__(
        self,
        width: int,
        grid: tuple[int, ...] = (),
        layers: int = 1,
        cell: Callable[..., nn.Module] = nn.GRU,
    ) -> None:
        super().__init__()
        self.layers = cell(width, width, layers, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)[0]

    def step(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.layers(inputs, state)


class Dilated(Causal):
    """Residual convolutions over the inputs so far, each of twice the dilation of the one before, so that
    `layers` of them see (kernel - 1) (2^layers - 1) inputs back (van den Oord et al. 2016,
    https://arxiv.org/abs/1609.03499; for text: Yang et al. 2017, https://arxiv.org/abs/1702.08139)."""

    def __init__(self, width: int, grid: tuple[int, ...] = (), layers: int = 6, kernel: int = 3) -> None:
        super().__init__()
        if layers < 1 or kernel < 2:
            raise ConfigurationError(f"layers={layers}, kernel={kernel}: at least one layer of two inputs")
        self.reaches = [(kernel - 1) * 2**i for i in range(layers)]
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.layers = nn.ModuleList(nn.Conv1d(width, 2 * width, kernel, dilation=2**i) for i in range(layers))

    def forward(self, inputs: Tensor) -> Tensor:
        for norm, layer, reach in zip(self.norms, self.layers, self.reaches, strict=True):
            found = layer(F.pad(norm(inputs).transpose(1, 2), (reach, 0)))
            inputs = inputs + F.glu(found, 1).transpose(1, 2)
        return inputs

    def step(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """What each layer has read, as far back as it sees, is kept: each place costs the same."""
        kept = []
        for i, (norm, layer, reach) in enumerate(zip(self.norms, self.layers, self.reaches, strict=True)):
            new = norm(inputs).transpose(1, 2)
            before = new.new_zeros(*new.shape[:2], reach) if state is None else state[i]
            seen = torch.cat([before, new], -1)
            inputs = inputs + F.glu(layer(seen), 1).transpose(1, 2)
            kept.append(seen[..., 1:])
        return inputs, kept
