"""Plain autoencoders whose decoder is constrained."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.models.base import Autoencoder
from aelab.models.networks.mirror import Pair, mirrored
from aelab.models.networks.spectral import normalise_spectrally


def spectral(**parts: Any) -> Autoencoder:
    """The model of these parts, whose decoder's linear maps and convolutions are spectrally normalised
    (RAE-SN, Ghosh et al. 2020, https://arxiv.org/abs/1903.12436)."""
    normalise_spectrally(parts["decoder"])
    return Autoencoder(**parts)


def tied(**parts: Any) -> Autoencoder:
    """The model of these parts, whose decoder has the encoder's weights, transposed (Vincent et al. 2010,
    https://jmlr.org/papers/v11/vincent10a.html); its biases are its own, and so is what a condition adds.

        x ──W₁──▶ h ──W₂──▶ z ──W₂ᵀ──▶ h' ──W₁ᵀ──▶ x'
    """
    decoder, posterior = parts["decoder"], parts["posterior"]
    pairs = mirrored(parts["encoder"], posterior, decoder, "structure=tied")
    for number, pair in enumerate(pairs):
        read = posterior.layout[0] if number == len(pairs) - 1 else None
        _replace(decoder, pair.down[0], _tied(pair, read, outermost=number == 0))
    return Autoencoder(**parts)


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for module in network.modules():
        for name, child in module.named_children():
            if child is old:
                setattr(module, name, new)


def _tied(pair: Pair, read: int | None, outermost: bool) -> "Tied":
    """The lower map of a pair, tied to the upper one.

    read: of the upper one's outputs, how many the decoder reads; None: all. outermost: whether it gives
    observations, beside which the upper one may read a condition.
    """
    up: Any = pair.up[0]
    down: Any = pair.down[0]
    tied = Tied(up, down, read)
    have, want = tied.shape, (tied.outputs, tied.inputs - tied.own)
    if (have[0] != want[0] and not (outermost and have[0] > want[0])) or have[1] != want[1]:
        raise ConfigurationError(
            f"structure=tied: a layer of the decoder is of {list(down.weight.shape)} and the encoder's of "
            f"{list(up.weight.shape)}, which is not its transpose: choose model.decoder.widths as "
            "model.encoder.widths reversed, and a likelihood of one number for each value"
        )
    return tied


class Tied(nn.Module):
    """A linear map or transposed convolution with the weights of another, transposed, which it does not own.

    forward: as the map in whose place it stands.

    source: whose weights they are. target: in whose place it stands. read: of the source's outputs, how many
    are inputs here; what more inputs there are, as a condition's, have weights of their own.
    """

    def __init__(self, source: nn.Module, target: Any, read: int | None = None) -> None:
        super().__init__()
        self.source = (source,)  # in a tuple, as it is a module of another part
        self.read, self.kind = read, type(target)
        self.bias = target.bias
        self.inputs, self.outputs = _sizes(target)
        self.own = 0 if read is None else max(0, self.inputs - read)
        if self.own:
            self.extra = nn.Parameter(target.weight[:, -self.own :].detach().clone())
        if self.kind is nn.ConvTranspose2d:
            self.options = {
                "stride": target.stride, "padding": target.padding, "output_padding": target.output_padding
            }  # fmt: skip

    @property
    def shape(self) -> tuple[int, int]:
        """The outputs and inputs that the source has weights for."""
        inputs, outputs = _sizes(self.source[0])
        return inputs, outputs if self.read is None else min(self.read, outputs)

    def weight(self) -> Tensor:
        """As of the map in whose place it stands."""
        weight: Any = self.source[0].weight
        weight = weight[: self.read, : self.outputs] if self.read else weight[:, : self.outputs]
        if self.kind is nn.ConvTranspose2d:
            return weight
        weight = weight.transpose(0, 1)
        return torch.cat([weight, self.extra], 1) if self.own else weight

    def forward(self, x: Tensor) -> Tensor:
        if self.kind is nn.Linear:
            return F.linear(x, self.weight(), self.bias)
        if self.kind is nn.Conv2d:
            return F.conv2d(x, self.weight(), self.bias)
        return F.conv_transpose2d(x, self.weight(), self.bias, **self.options)


def _sizes(layer: Any) -> tuple[int, int]:
    """The inputs and outputs of a map."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels
