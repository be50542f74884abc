"""Conditions: from what is known of an observation to the context c, a vector of size `features`.

A conditioner also knows what a user may tell it: which field of a batch it reads, and what values that takes.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError, DataError, InapplicableError
from aelab.core.records import Batch, Sizes
from aelab.models.distributions import Masked
from aelab.models.networks.mlp import hidden_layers

Labels = int | str | Sequence[int | str] | Tensor  # by number or by the name of a class
Numbers = Sequence[float] | Tensor

QUADRANTS = ("top_left", "top_right", "bottom_left", "bottom_right")


class Conditioner(nn.Module, ABC):
    """forward: batch -> c (B, features).

    Built with the sizes of the model, of which the data's are known.

    tells: what the context holds, "label", "attributes" or "image": codes need not say it again.
    field: of a batch, that it is read from; "x" where it is a part of the observation itself.
    classes: how many labels can be asked for; 0 where samples are asked for by no label.
    """

    features: int
    classes: int = 0
    tells: ClassVar[str]
    field: ClassVar[str]

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor: ...

    def reveal(self, likelihood: Distribution, x: Tensor) -> Distribution:
        """p(x|z,c) where c tells a part of x (B, *event): by default it tells none."""
        return likelihood

    def check(self, known: Batch) -> None:
        """Refuse observations of which too little is known, before training: by default none.

        known: what is known of all of them; x may be empty.
        """

    def told(self, values: Any, count: int) -> Tensor:
        """What a user says of `count` observations, as the field of their batch.

        Raises InapplicableError where nothing is said, and DataError for what it cannot mean.
        """
        raise InapplicableError(f"the model is told the {self.tells} of an observation by no option")

    def examples(self, count: int, generator: Generator) -> Tensor:
        """Values that a user could tell of `count` observations."""
        raise InapplicableError(f"the model is told the {self.tells} of an observation by no option")


class OneHot(Conditioner):
    """Labels (B,) as one-hot vectors (B, classes)."""

    tells = "label"
    field = "y"

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        if not sizes.classes:
            raise ConfigurationError(
                "condition=label needs labels and the data declare none (data.classes is null): "
                "choose data with labels, or condition=none"
            )
        self.features = self.classes = sizes.classes

    def forward(self, batch: Batch) -> Tensor:
        if batch.y is None:
            raise ConfigurationError(
                "a conditional model needs a label for every observation, and this batch has none"
            )
        return F.one_hot(batch.y, self.features).float()

    def check(self, known: Batch) -> None:
        if known.y is not None and (unknown := int((known.y < 0).sum())):
            raise ConfigurationError(
                f"condition=label needs the label of every image, and {unknown:,} of {len(known.y):,} are "
                "unknown: choose data.labelled=null and data whose labels are known, or condition=none"
            )

    def told(self, values: Labels | None, count: int) -> Tensor:
        """Labels, one for all or one for each: (count,) int64."""
        last = self.classes - 1
        if values is None:
            raise InapplicableError(f"the model is told the label of an image: give one, from 0 to {last}")
        try:
            labels = torch.as_tensor(values)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"label {values!r} is no whole number: 0 to {last} exist") from error
        if labels.is_floating_point() or labels.shape not in ((), (count,)):
            raise DataError(f"a label is one whole number for all {count} images, or one for each")
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) <= last:
            raise DataError(f"labels are {int(labels.min())} to {int(labels.max())}: 0 to {last} exist")
        return labels.long().expand(count)

    def examples(self, count: int, generator: Generator) -> Tensor:
        return torch.arange(count) % self.classes


class Attributes(Conditioner):
    """Continuous attributes (B, attributes) as they are."""

    tells = field = "attributes"

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        if not sizes.attributes:
            raise ConfigurationError(
                "condition=attributes needs attributes and the data declare none (data.attributes is null): "
                "choose data with attributes, as data=dsprites, or condition=none"
            )
        self.features = sizes.attributes

    def forward(self, batch: Batch) -> Tensor:
        if batch.attributes is None:
            raise ConfigurationError(
                "a model conditional on attributes needs them for every observation, and this batch has none"
            )
        return batch.attributes.float()

    def told(self, values: Numbers | None, count: int) -> Tensor:
        """Attributes (features,) for all or (count, features): (count, features) float32."""
        size = self.features
        if values is None:
            raise InapplicableError(f"the model is told {size} attributes of an image: give attributes")
        found = torch.as_tensor(values, dtype=torch.float32)
        if tuple(found.shape) not in ((size,), (count, size)):
            raise DataError(f"attributes are {size} numbers for all {count} images, or {size} for each")
        return found.expand(count, size)

    def examples(self, count: int, generator: Generator) -> Tensor:
        return torch.rand(count, self.features, generator=generator)


class VisibleQuadrants(Conditioner):
    """Quadrants of the image itself, through an MLP of `widths`; the model predicts the others (Sohn, Lee
    and Yan 2015).

    visible: of top_left, top_right, bottom_left and bottom_right, one to three. Only the hidden pixels have a
    density; the visible ones stand in the pictures as they are.
    """

    tells = "image"
    field = "x"
    hidden: Tensor

    def __init__(
        self,
        sizes: Sizes,
        visible: Sequence[str] = ("bottom_left",),
        widths: Sequence[int] = (256, 64),
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        shape = sizes.shape
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


def batch_of(
    conditioner: Conditioner | None,
    x: Tensor,
    y: Labels | None = None,
    attributes: Numbers | None = None,
    names: Sequence[str] = (),
) -> Batch:
    """Observations (N, *event) with what the model is told of each, by its conditioner.

    y: labels, one for all or for each, by number or by their `names`. attributes: (A,) for all, or (N, A).
    Raises InapplicableError for a condition that the model lacks or was not trained with, and DataError for
    one that it cannot mean.
    """
    said: dict[str, Any] = {"y": numbered(y, names), "attributes": attributes}
    field = None if conditioner is None else conditioner.field
    for name, noun in (("y", "labels"), ("attributes", "attributes")):
        if said[name] is not None and name != field:
            raise InapplicableError(f"the model was trained without {noun}: give none")
    if conditioner is None or conditioner.field == "x":
        return Batch(x)
    return Batch(x)._replace(**{conditioner.field: conditioner.told(said[conditioner.field], len(x))})


def numbered(y: Labels | None, names: Sequence[str]) -> Labels | None:
    """Labels as numbers, of which any may be said by the name of its class; DataError for an unknown name.

    >>> numbered(["dog", 0], ["cat", "dog"])
    [1, 0]
    """
    if isinstance(y, str):
        if y not in names:
            raise DataError(f"label {y!r} is none of {', '.join(names) or 'numbers'}: give one")
        return list(names).index(y)
    if isinstance(y, Sequence):
        each: Any = [numbered(one, names) if isinstance(one, str) else one for one in y]
        return each
    return y


def sees_observation(conditioner: Conditioner | None) -> bool:
    """Whether the condition is a part of the observation itself."""
    return conditioner is not None and conditioner.field == "x"
