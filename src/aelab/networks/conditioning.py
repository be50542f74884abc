"""Conditioners: from what is known about an observation to the context c, a vector of size `features`."""

import torch.nn.functional as F
from torch import Tensor, nn

from aelab.errors import ConfigurationError


class OneHot(nn.Module):
    """forward: integer labels (B,) -> (B, classes)."""

    def __init__(self, classes: int | None) -> None:
        super().__init__()
        if not classes:
            raise ConfigurationError(
                "condition=label needs labels and the data declare none (data.classes is null): "
                "choose data with labels, or condition=none"
            )
        self.features = classes

    def forward(self, y: Tensor | None) -> Tensor:
        if y is None:
            raise ConfigurationError(
                "a conditional model needs a label for every observation, and this batch has none"
            )
        return F.one_hot(y, self.features).float()
