"""Penalties on the weights: matrices and kernels, not biases or scales."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Scheduled
from aelab.models import Autoencoder
from aelab.objectives.base import Term


def weight_tensors(model: nn.Module) -> Iterator[Tensor]:
    """The trainable parameters with two dimensions or more."""
    return (p for p in model.parameters() if p.requires_grad and p.dim() > 1)


class WeightPenalty(Term):
    """slot: the part of the model whose weights it is of, as decoder; None: the whole."""

    reads_codes = False

    def __init__(self, weight: Scheduled = 1.0, slot: str | None = None) -> None:
        super().__init__(weight)
        self.slot = slot

    def weights(self, model: Autoencoder) -> list[Tensor]:
        """Those of the slot; ConfigurationError where there are none."""
        part = model if self.slot is None else dict(model.named_children()).get(self.slot)
        if part is None or not (found := list(weight_tensors(part))):
            raise ConfigurationError(f"slot={self.slot}: the model trains no weights there")
        return found


class L1(WeightPenalty):
    """The sum of |w|: a Laplace prior on the weights."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return torch.stack([p.abs().sum() for p in self.weights(model)]).sum()


class L2(WeightPenalty):
    """The sum of w^2: a Gaussian prior on the weights."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return torch.stack([p.square().sum() for p in self.weights(model)]).sum()
