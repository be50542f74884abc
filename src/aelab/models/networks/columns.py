"""The network that reads the rows of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions.columns import one_hot
from aelab.models.networks.activations import Activation
from aelab.models.networks.mlp import hidden_layers, join


class ColumnsEncoder(nn.Module):
    """forward: x (B, columns), context (B, C) or None -> (B, features). Categories are read as which they
    are, numbers as they are, and what is missing as that.

    columns: of the data, each with its `categories`, none for numbers.
    """

    def __init__(
        self,
        sizes: Sizes,
        columns: Sequence[Mapping[str, Any]],
        widths: Sequence[int],
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        self.sizes = [len(column["categories"]) for column in columns]
        size = sum(size or 2 for size in self.sizes) + sizes.context
        self.layers = hidden_layers(size, widths, activation)
        self.features = widths[-1] if widths else size

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if x.requires_grad:
            raise ConfigurationError(
                "prior=vamp learns rows of its own, and categories are names that no gradient moves: choose "
                "prior=exemplar or gaussian_mixture"
            )
        return self.layers(join(one_hot(x, self.sizes), context))
