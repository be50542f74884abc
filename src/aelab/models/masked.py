"""An autoencoder that is shown few patches of an observation and is asked for the others."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.models.base import Autoencoder
from aelab.models.conditions import sees_observation
from aelab.models.distributions import Masked


class MaskedAutoencoder(Autoencoder):
    """The model whose encoder sees 0 in the place of patches that are drawn anew for each observation, and
    whose likelihood is of these patches alone (He et al. 2022, https://arxiv.org/abs/2111.06377, with any
    network).

        x ──hide──▶ encoder ──▶ ... ──▶ decoder ──▶ p(hidden patches | z)

    patch: the side of a square of an image; of vectors, every number is a patch.
    hidden: the share of patches that are, the same number of each observation.
    """

    def __init__(self, patch: int = 4, hidden: float = 0.75, **parts: Any) -> None:
        super().__init__(**parts)
        if patch < 1 or not 0 < hidden < 1:
            raise ConfigurationError(
                f"model.structure.patch={patch}, hidden={hidden}: at least 1, and between 0 and 1"
            )
        if sees_observation(self.conditioner):
            raise ConfigurationError(
                "structure=masked hides patches that condition=image would show: choose another condition"
            )
        self.patch, self.hidden = patch, hidden

    def forward(self, batch: Batch, samples: int = 1, step: int = 0, shown: Tensor | None = None) -> Trace:
        if shown is not None:
            return super().forward(batch, samples, step, shown)
        hidden = self.mask(batch.x)
        trace = super().forward(batch, samples, step, self._corrupted(batch.x) * (1 - hidden))
        return replace(trace, decode=partial(_of_hidden, trace, hidden))

    def mask(self, x: Tensor) -> Tensor:
        """1 where a value of x (B, *event) is hidden: (B, 1, H, W) of images, (B, D) of vectors."""
        places, patch = x.shape[2:] or x.shape[1:], self.patch if x.dim() > 2 else 1
        if any(size % patch for size in places):
            raise ConfigurationError(
                f"model.structure.patch={patch} does not divide sides of {list(places)}: choose a divisor"
            )
        grid = [size // patch for size in places]
        hidden = self._drawn(len(x), grid, x)
        for dim in range(len(grid)):
            hidden = hidden.repeat_interleave(patch, dim + 1)
        return hidden[:, None] if x.dim() > 2 else hidden

    def _drawn(self, count: int, grid: list[int], like: Tensor) -> Tensor:
        """(count, *grid), exactly as many 1 in each."""
        order = torch.rand(count, torch.Size(grid).numel(), device=like.device).argsort(1)
        most = order.shape[1] - 1
        share = min(max(1, round(self.hidden * order.shape[1])), most)
        return (order < share).to(like.dtype).unflatten(1, grid)


def _of_hidden(trace: Trace, hidden: Tensor) -> Distribution:
    return Masked(trace.likelihood, hidden, trace.x)
