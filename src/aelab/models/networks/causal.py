"""Causal networks: what they give at a place reads the inputs up to that place alone."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


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
