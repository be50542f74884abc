"""A distance of reconstructions in the features of a network that does not learn."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes, Trace
from aelab.core.schedules import Scheduled
from aelab.models import Autoencoder
from aelab.models.evidence import required_posterior
from aelab.models.networks.mirror import layers_of
from aelab.objectives.base import Term


class FeatureDistance(Term):
    """Half the squared error of the mean of p(x|z,c) in what each layer of another run's encoder gives,
    summed over layers, channels and places (Johnson, Alahi and Fei-Fei 2016,
    https://arxiv.org/abs/1603.08155).

        x, x' ──layer──▶ f1, f1' ──layer──▶ f2, f2' ──▶ ...        1/2 (|f1 - f1'|^2 + |f2 - f2'|^2 + ...)

    sizes: of the model. network: the encoder's factory, of the sizes; its weights stay as they are.
    normalised: whether the channels at each place, or the numbers of a vector, are divided by their norm
        (Zhang et al. 2018, https://arxiv.org/abs/1801.03924): half the squared error is 1 - the cosine.

    Raises ConfigurationError without a network, and for one that is no sequence of layers.
    """

    def __init__(
        self,
        sizes: Sizes,
        network: Callable[[Sizes], nn.Module] | None,
        normalised: bool = True,
        weight: Scheduled = 1.0,
    ) -> None:
        super().__init__(weight)
        if network is None:
            raise ConfigurationError(
                "objective/penalty=features compares in the layers of another run's encoder: give "
                "start.run=FOLDER with start.features=true"
            )
        self.network = network(replace(sizes, context=0)).requires_grad_(False).eval()
        self.layers = tuple(layers_of(self.network))
        self.normalised = normalised
        if not self.layers:
            raise ConfigurationError(
                f"the encoder {type(self.network).__name__} of start.run is no sequence of layers: give a "
                "run of network=mlp, conv or resnet"
            )

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.network.eval()
        return self

    def features(self, x: Tensor) -> list[Tensor]:
        """x (N, *shape) -> what each layer gives, (N, channels, ...)."""
        found: list[Tensor] = []
        with ExitStack() as watched:
            for layer in self.layers:
                hook = layer[-1].register_forward_hook(lambda *seen: found.append(seen[-1]))
                watched.callback(hook.remove)
            self.network(x)
        return [_normalised(each) for each in found] if self.normalised else found

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "a reconstruction")
        mean = trace.likelihood.mean
        with torch.no_grad():
            wanted = self.features(trace.x)
        found = self.features(mean.flatten(0, 1))
        each = [
            (one.unflatten(0, mean.shape[:2]) - other).square().flatten(2).sum(2)
            for one, other in zip(found, wanted, strict=True)
        ]
        return 0.5 * torch.stack(each).sum(0).mean()


def _normalised(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True) + 1e-8).sqrt()
