"""Greedy pretraining, layer by layer."""

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Scheduled, scheduled
from aelab.models import Autoencoder
from aelab.models.distributions import distortion
from aelab.models.evidence import required_posterior
from aelab.models.networks.mirror import Pair, mirrored
from aelab.objectives.base import Term


class Layerwise(Term):
    """The distortion of one layer's own autoencoder: what the layers below it give, through the layer and
    its mirror in the decoder (Bengio et al. 2007; with `masking` stacked denoising autoencoders, Vincent et
    al. 2010, https://jmlr.org/papers/v11/vincent10a.html). Each layer has its turn for an equal share of the
    training, from the data upwards; of hidden values the distortion is half the squared error.

        x ──▶ layers below ──h──▶ masking ──▶ layer ──▶ its mirror ──▶ h'        no gradient passes h

    masking: the share of a layer's inputs that it sees as 0.
    """

    def __init__(self, weight: Scheduled = 1.0, masking: float = 0.25) -> None:
        super().__init__(weight)
        if not 0 <= masking < 1:
            raise ConfigurationError(f"masking={masking}: a share in [0, 1)")
        self.masking = masking
        self.progress = scheduled(["ramp", 0.0, 1.0, 1.0])

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "pretraining")
        if model.conditioner is not None or model.encoder is None or model.posterior is None:
            raise ConfigurationError(
                "objective=layerwise trains layers that read the one below alone: choose condition=none"
            )
        pairs = mirrored(model.encoder, model.posterior, model.decoder, "objective=layerwise")
        turn = min(int(len(pairs) * self.progress(trace.step)), len(pairs) - 1)
        below = _through(trace.corrupted, pairs[:turn])
        kept = torch.rand_like(below) >= self.masking
        up, down = pairs[turn]
        code = _shaped(up[0], below * kept)
        back = down(_cut(up(code), down[0]))
        cost = _of_hidden(back, below) if turn else _of_data(back, trace, model)
        # The others wait: their gradient is 0, so that an optimiser finds one.
        return cost + 0 * torch.stack([p.sum() for p in model.parameters() if p.requires_grad]).sum()


def _through(x: Tensor, pairs: list[Pair]) -> Tensor:
    with torch.no_grad():
        for pair in pairs:
            x = pair.up(_shaped(pair.up[0], x))
    return x


def _shaped(layer: nn.Module, x: Tensor) -> Tensor:
    return x.flatten(1) if isinstance(layer, nn.Linear) else x


def _cut(code: Tensor, layer: nn.Module) -> Tensor:
    """What the decoder reads of a code: of a Gaussian's parameters the mean."""
    read: int = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels  # type: ignore[assignment]
    return code[:, :read]


def _of_hidden(back: Tensor, below: Tensor) -> Tensor:
    return (back.flatten(1) - below.flatten(1)).square().sum(1).mean() / 2


def _of_data(back: Tensor, trace: Trace, model: Autoencoder) -> Tensor:
    shape = model.likelihood.parameters_of(trace.x.shape[1:])
    return distortion(model.likelihood(back.reshape(1, len(back), *shape)), trace.x)
