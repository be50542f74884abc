"""What a conditional model is told, checked against what it was trained to be told."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aelab.errors import DataError, InapplicableError
from aelab.models import Autoencoder
from aelab.networks.conditioning import Attributes, OneHot, VisibleQuadrants
from aelab.records import Batch

Labels = int | Sequence[int] | Tensor
Numbers = Sequence[float] | Tensor


def batch_of(
    model: Autoencoder, x: Tensor, y: Labels | None = None, attributes: Numbers | None = None
) -> Batch:
    """Images (N, C, H, W) with what the model is told of each.

    y: labels, one for all or one for each. attributes: (A,) for all, or (N, A).
    Raises InapplicableError for a condition that the model lacks or was not trained with, and DataError for
    one that it cannot mean.
    """
    return Batch(x, _labels(model, y, len(x)), _attributes(model, attributes, len(x)))


def shows_images(model: Autoencoder) -> bool:
    """Whether the condition is a part of the image itself."""
    return isinstance(model.conditioner, VisibleQuadrants)


def _labels(model: Autoencoder, y: Labels | None, count: int) -> Tensor | None:
    if not isinstance(model.conditioner, OneHot):
        if y is not None:
            raise InapplicableError("the model was trained without labels: give none")
        return None
    classes = model.conditioner.features
    if y is None:
        raise InapplicableError(f"the model is told the label of an image: give one, from 0 to {classes - 1}")
    try:
        labels = torch.as_tensor(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"label {y!r} is no whole number: 0 to {classes - 1} exist") from error
    if labels.is_floating_point() or labels.shape not in ((), (count,)):
        raise DataError(f"a label is one whole number for all {count} images, or one for each")
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(f"labels are {int(labels.min())} to {int(labels.max())}: 0 to {classes - 1} exist")
    return labels.long().expand(count)


def _attributes(model: Autoencoder, attributes: Numbers | None, count: int) -> Tensor | None:
    if not isinstance(model.conditioner, Attributes):
        if attributes is not None:
            raise InapplicableError("the model was trained without attributes: give none")
        return None
    size = model.conditioner.features
    if attributes is None:
        raise InapplicableError(f"the model is told {size} attributes of an image: give attributes")
    values = torch.as_tensor(attributes, dtype=torch.float32)
    if tuple(values.shape) not in ((size,), (count, size)):
        raise DataError(f"attributes are {size} numbers for all {count} images, or {size} for each")
    return values.expand(count, size)
