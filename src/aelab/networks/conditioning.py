"""Conditioners: from what is known about an observation to the context c, a vector of size `features`."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution

from aelab.distributions import Masked
from aelab.errors import ConfigurationError
from aelab.networks.mlp import hidden_layers
from aelab.records import Batch

QUADRANTS = ("top_left", "top_right", "bottom_left", "bottom_right")


class Conditioner(nn.Module, ABC):
    """forward: batch -> c (B, features).

    Built with the data's shape, the number of its classes and of its attributes, None without them.

    tells: what the context holds, "label", "attributes" or "image": codes need not say it again.
    """

    features: int
    tells: ClassVar[str]

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor: ...

    def reveal(self, likelihood: Distribution, x: Tensor) -> Distribution:
        """p(x|z,c) where c tells a part of x (B, *event): by default it tells none."""
        return likelihood


class OneHot(Conditioner):
    """Labels (B,) as one-hot vectors (B, classes)."""

    tells = "label"

    def __init__(self, classes: int | None, shape: Sequence[int] = (), attributes: int | None = None) -> None:
        super().__init__()
        if not classes:
            raise ConfigurationError(
                "condition=label needs labels and the data declare none (data.classes is null): "
                "choose data with labels, or condition=none"
            )
        self.features = classes

    def forward(self, batch: Batch) -> Tensor:
        if batch.y is None:
            raise ConfigurationError(
                "a conditional model needs a label for every observation, and this batch has none"
            )
        return F.one_hot(batch.y, self.features).float()


class Attributes(Conditioner):
    """Continuous attributes (B, attributes) as they are."""

    tells = "attributes"

    def __init__(self, attributes: int | None, classes: int | None = None, shape: Sequence[int] = ()) -> None:
        super().__init__()
        if not attributes:
            raise ConfigurationError(
                "condition=attributes needs attributes and the data declare none (data.attributes is null): "
                "choose data with attributes, as data=dsprites, or condition=none"
            )
        self.features = attributes

    def forward(self, batch: Batch) -> Tensor:
        if batch.attributes is None:
            raise ConfigurationError(
                "a model conditional on attributes needs them for every observation, and this batch has none"
            )
        return batch.attributes.float()


class VisibleQuadrants(Conditioner):
    """Quadrants of the image itself, through an MLP of `widths`; the model predicts the others (Sohn, Lee
    and Yan 2015).

    visible: of top_left, top_right, bottom_left and bottom_right, one to three. Only the hidden pixels have a
    density; the visible ones stand in the pictures as they are.
    """

    tells = "image"
    hidden: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        visible: Sequence[str] = ("bottom_left",),
        widths: Sequence[int] = (256, 64),
        activation: Callable[[], nn.Module] = nn.ReLU,
        classes: int | None = None,
        attributes: int | None = None,
    ) -> None:
        super().__init__()
        unknown = sorted(set(visible) - set(QUADRANTS))
        if unknown or not 0 < len(set(visible)) < 4:
            raise ConfigurationError(
                f"model.conditioner.visible={list(visible)}: name one to three of {', '.join(QUADRANTS)}"
            )
        if len(shape) != 3 or min(shape[1:]) < 2 or not widths:
            raise ConfigurationError(
                f"condition=image shows quadrants of images of at least 2x2 through at least one layer, and "
                f"data.shape is {list(shape)}, model.conditioner.widths {list(widths)}"
            )
        self.register_buffer("hidden", _hidden(shape[1], shape[2], visible), persistent=False)
        self.layers = hidden_layers(math.prod(shape), widths, activation)
        self.features = widths[-1]

    def forward(self, batch: Batch) -> Tensor:
        return self.layers((batch.x * (1 - self.hidden)).flatten(1))

    def reveal(self, likelihood: Distribution, x: Tensor) -> Masked:
        return Masked(likelihood, self.hidden, x)


def _hidden(height: int, width: int, visible: Sequence[str]) -> Tensor:
    """(1, height, width), 1 where a pixel lies in none of the visible quadrants."""
    hidden = torch.ones(1, height, width)
    rows = {"top": slice(0, height // 2), "bottom": slice(height // 2, height)}
    columns = {"left": slice(0, width // 2), "right": slice(width // 2, width)}
    for quadrant in visible:
        row, column = quadrant.split("_")
        hidden[:, rows[row], columns[column]] = 0
    return hidden
