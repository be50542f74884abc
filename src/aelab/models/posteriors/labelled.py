"""Codes of which a label is a part, that is known of some observations."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.core.schedules import Scheduled, scheduled
from aelab.models.distributions import Chain, Gaussian, OneHot
from aelab.models.posteriors.base import Features, Posterior, vector
from aelab.models.posteriors.layers import Between


class LabelChain(Chain):
    """q(y|x) q(z|x,y), over codes [z, one-hot y].

    given: h (*, features), one-hot y (*, classes) -> q(z|x,y). h: (B, features).
    """

    def __init__(
        self, label: OneHot, given: Callable[[Tensor, Tensor], Gaussian], h: Tensor, sizes: Sequence[int]
    ) -> None:
        self.label, self.given_features, self.h = label, given, h
        super().__init__(label, [partial(_of_all, given, h)], sizes, upwards=False)

    @property
    def probabilities(self) -> Tensor:
        """q(y|x), (B, classes)."""
        return self.label.mean

    def told(self, rows: Tensor, y: Tensor) -> Gaussian:
        """q(z|x,y) of the observations in these rows (R,), and one-hot labels (R, classes)."""
        return self.given_features(self.h[rows], y)


def _of_all(given: Callable[[Tensor, Tensor], Gaussian], h: Tensor, y: Tensor) -> Gaussian:
    batch = torch.broadcast_shapes(h.shape[:-1], y.shape[:-1])
    return given(h.expand(*batch, -1), y.expand(*batch, -1))


class Labelled(Posterior):
    """q(y|x) q(z|x,y), categorical and Gaussian, both read off the same features (M2, Kingma et al. 2014,
    https://arxiv.org/abs/1406.5298). A code is [z, one-hot y].

    sizes.classes: labels there are. widths: of the network from features and label to z.
    temperature: of the relaxation of labels that are drawn while training, a number or a schedule.
    """

    def __init__(
        self,
        features: Features,
        sizes: Sizes,
        widths: Sequence[int] = (128,),
        activation: Callable[[], nn.Module] = nn.ReLU,
        temperature: Scheduled = 0.67,
    ) -> None:
        if not sizes.classes:
            raise ConfigurationError(
                "posterior=labelled infers labels and the data declare none (data.classes is null): choose "
                "data with labels, or posterior=diagonal_gaussian"
            )
        super().__init__((sizes.latent + sizes.classes,))
        self.sizes = [sizes.latent, sizes.classes]
        known = vector(features, "labelled")
        self.label = nn.Linear(known, sizes.classes)
        self.between = Between(known + sizes.classes, sizes.latent, widths, activation)
        self.temperature = scheduled(temperature)

    def forward(self, h: Tensor, step: int = 0) -> LabelChain:
        logits = self.label(h).float()[..., None, :]
        label = OneHot(logits, self.temperature(step) if self.training else None)
        return LabelChain(label, self._given, h, self.sizes)

    def _given(self, h: Tensor, y: Tensor) -> Gaussian:
        # Terms ask outside of mixed precision too, which the features may come from.
        return self.between(torch.cat([h.float(), y.float()], -1))
