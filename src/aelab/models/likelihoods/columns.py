"""The likelihood of the rows of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.models import distributions
from aelab.models.likelihoods.base import Likelihood, Shape


class Columns(Likelihood):
    """For each column of numbers a Gaussian of a mean and a variance of its own, and for each of categories
    their probabilities; nothing for a missing cell (Nazabal et al. 2020, https://arxiv.org/abs/1807.03653).

    columns: of the data, each with its `categories`, none for numbers.
    """

    drawn = True

    def __init__(self, columns: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.sizes = [len(column["categories"]) for column in columns]

    def parameters_of(self, shape: Shape) -> Shape:
        if shape != (len(self.sizes),):
            raise ConfigurationError(
                f"the likelihood is of rows of {len(self.sizes)} columns and data.shape is {list(shape)}: "
                "leave it as the data have it"
            )
        return (sum(size or 2 for size in self.sizes),)

    def forward(self, params: Tensor) -> distributions.Columns:
        return distributions.Columns(params.float(), self.sizes)
