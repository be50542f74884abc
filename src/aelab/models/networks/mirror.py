"""Encoders and decoders as layers that answer to one another, the first of one to the last of the other."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from aelab.core.errors import ConfigurationError

MAPS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


class Pair(NamedTuple):
    """A layer of the encoder or posterior, and the layer of the decoder that goes back: a linear map or a
    convolution each, with what follows it."""

    up: nn.Sequential
    down: nn.Sequential


def mirrored(encoder: nn.Module, posterior: nn.Module, decoder: nn.Module, asked_by: str) -> list[Pair]:
    """The pairs of layers, from the data upwards.

    Raises ConfigurationError for networks that are no such sequences, or of different lengths.
    """
    ups, downs = [*layers_of(encoder), *layers_of(posterior)], list(layers_of(decoder))
    if len(ups) != len(downs) or not all(map(_plain, [*ups, *downs])):
        raise ConfigurationError(
            f"{asked_by} pairs the {len(ups)} layers of encoder and posterior with those of the decoder, of "
            f"which there are {len(downs)}, each a linear map or a convolution and what follows it: choose "
            "network=mlp or conv, as deep in both, with posterior=deterministic or diagonal_gaussian"
        )
    return [Pair(up, down) for up, down in zip(ups, reversed(downs), strict=True)]


def layers_of(part: nn.Module) -> Iterator[nn.Sequential]:
    """What of a part begins with a map, each with the modules up to the next one, in the order of a pass."""
    found: list[list[nn.Module]] = []
    for module in _passed(part):
        if isinstance(module, MAPS):
            found.append([module])
        elif found:
            found[-1].append(module)
    return (nn.Sequential(*layer) for layer in found)


def _passed(part: nn.Module) -> Iterator[nn.Module]:
    """The modules of a part in the order of a pass: projection, layers, output."""
    children = dict(part.named_children())
    for name in ("projection", "layers", "output", "activation"):
        found = children.get(name)
        if isinstance(found, nn.Sequential):
            yield from found.children()
        elif found is not None:
            yield found


def _plain(layer: nn.Sequential) -> bool:
    """Whether nothing that follows the map has weights of its own."""
    return not any(list(module.parameters()) for module in list(layer.children())[1:])
