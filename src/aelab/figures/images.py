"""Pictures and tensors as a trained model takes them, and its outputs as pictures."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from aelab.core.errors import DataError
from aelab.core.text import sizes
from aelab.figures.decoding import check_shape, upright

Pictures = Tensor | Image.Image | Sequence[Image.Image]


def as_tensor(images: Pictures, shape: Sequence[int], resize: bool = False) -> Tensor:
    """Images as a model of `shape` (C, H, W) takes them: (N, C, H, W), float32 in [0, 1] or uint8 pixels.

    images: a tensor of either kind, with or without N, or PIL images, which become pixels, grey or
        coloured as the model's are.
    resize: scale a PIL image of another size until it covers H x W, and cut its centre.

    Raises DataError for what is no such thing.
    """
    if isinstance(images, Tensor):
        return _checked(images if images.dim() > len(shape) else images[None], shape, resize)
    check_shape(shape)
    every = [images] if isinstance(images, Image.Image) else list(images)
    if not every or not all(isinstance(image, Image.Image) for image in every):
        raise DataError("images are a tensor, a PIL image, or a sequence with at least one PIL image")
    return torch.from_numpy(np.stack([_pixels(i, image, shape, resize) for i, image in enumerate(every)]))


def _checked(images: Tensor, shape: Sequence[int], resize: bool) -> Tensor:
    if tuple(images.shape[1:]) != tuple(shape) or len(images) == 0:
        fit = ", and resize=True is for PIL images" if resize else ""
        raise DataError(
            f"the tensor is {sizes(images.shape)}, and the model takes one or more of {sizes(shape)}{fit}"
        )
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point() or not bool(((images >= 0) & (images <= 1)).all()):
        raise DataError(
            f"the tensor ({str(images.dtype).removeprefix('torch.')}) is neither of floats in [0, 1] nor of "
            "uint8 pixels: scale it, or clamp it"
        )
    return images.float()


def _pixels(place: int, picture: Image.Image, shape: Sequence[int], resize: bool) -> np.ndarray:
    channels, height, width = shape
    try:
        image = upright(picture, channels)
    except (ValueError, OSError) as error:
        raise DataError(f"image {place} cannot be read ({error}): give an 8-bit picture") from error
    if image.size != (width, height):
        if not resize:
            raise DataError(
                f"image {place} is {image.height}x{image.width}, and the model takes {height}x{width}: "
                "give that size, or resize=True"
            )
        image = ImageOps.fit(image, (width, height))
    return np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)


def as_images(images: Tensor) -> list[Image.Image]:
    """Images (N, C, H, W) or (C, H, W), C of 1 or 3, in [0, 1], as PIL images; values outside are clipped."""
    every = images if images.dim() == 4 else images[None]
    if every.dim() != 4 or every.shape[1] not in (1, 3):
        raise DataError(f"a tensor of {sizes(images.shape)} is no image: (N, C, H, W) with C of 1 or 3 is")
    levels = (every.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return [Image.fromarray(level[0] if len(level) == 1 else level.transpose(1, 2, 0)) for level in levels]
