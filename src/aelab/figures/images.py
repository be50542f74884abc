"""Pictures and tensors as a trained model takes them, and its outputs as pictures."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aelab.core.errors import DataError
from aelab.core.text import sizes
from aelab.figures.decoding import Decoder, check_shape
from aelab.figures.depth import channels_first

Pictures = Tensor | np.ndarray | Image.Image | Sequence[Image.Image]


def as_tensor(
    images: Pictures,
    shape: Sequence[int],
    resize: bool = False,
    decoder: Decoder = Decoder(),  # noqa: B008
) -> Tensor:
    """Images as a model of `shape` (C, H, W) takes them: (N, C, H, W), float32 in [0, 1] or uint8 pixels.

    images: floats in [0, 1], which are taken as they are; uint8 tensors, which are pixels; other whole
        numbers, and arrays of them, in the decoder's range; with or without N, channels first or last, or
        none for C = 1. Or PIL images, which become pixels as the decoder has it.
    resize: scale a PIL image of another size until it covers H x W, and cut its centre.

    Raises DataError for what is no such thing.
    """
    if isinstance(images, Tensor | np.ndarray):
        return _of_numbers(images, tuple(shape), resize, decoder)
    check_shape(shape)
    every = [images] if isinstance(images, Image.Image) else list(images)
    if not every or not all(isinstance(image, Image.Image) for image in every):
        raise DataError(
            "images are a tensor, an array, a PIL image, or a sequence with at least one PIL image"
        )
    pixels = [decoder(image, shape, f"image {i}", resize) for i, image in enumerate(every)]
    return torch.from_numpy(np.stack(pixels))


def _of_numbers(
    images: Tensor | np.ndarray, shape: tuple[int, ...], resize: bool, decoder: Decoder
) -> Tensor:
    given, sized = "tensor" if isinstance(images, Tensor) else "array", tuple(images.shape)
    single = channels_first(sized, shape) is not None
    order = channels_first(sized if single else sized[1:], shape)
    if order is None or 0 in sized:
        fit = ", and resize=True is for PIL images" if resize else ""
        raise DataError(
            f"the {given} is {sizes(sized) or 'a number'}, and the model takes one or more of "
            f"{sizes(shape)}{fit}"
        )
    numbers = _numbers(images[None] if single else images, given, decoder)
    return numbers[:, None] if len(order) == 2 else numbers.permute(0, *(axis + 1 for axis in order))


def _numbers(images: Tensor | np.ndarray, given: str, decoder: Decoder) -> Tensor:
    """Numbers (N, ...) as values, float32 in [0, 1], or as pixels, uint8."""
    if isinstance(images, Tensor) and images.dtype == torch.uint8:
        return images
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else images
    if array.dtype.kind not in "buif":
        raise DataError(f"the {given} holds {array.dtype}: numbers are needed")
    whole = array.dtype.kind in "iu"
    if whole and (decoder.range is not None or array.dtype == np.uint8 or array.max() > 1):
        return torch.from_numpy(decoder.levels(array, f"the {given}"))
    if whole or not ((array >= 0) & (array <= 1)).all():
        black, white = decoder.range or (0, 255)
        raise DataError(
            f"the {given} ({array.dtype}) is neither of floats in [0, 1] nor of uint8 pixels: scale it, as "
            f"(x - {black:g}) / {white - black:g}, or clamp it"
        )
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def as_images(images: Tensor) -> list[Image.Image]:
    """Images (N, C, H, W) or (C, H, W), C of 1 or 3, in [0, 1], as PIL images; values outside are clipped."""
    every = images if images.dim() == 4 else images[None]
    if every.dim() != 4 or every.shape[1] not in (1, 3):
        raise DataError(f"a tensor of {sizes(images.shape)} is no image: (N, C, H, W) with C of 1 or 3 is")
    levels = (every.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return [Image.fromarray(level[0] if len(level) == 1 else level.transpose(1, 2, 0)) for level in levels]
