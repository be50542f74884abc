"""New observations of a class, made by a trained model of those whose label is known."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.records import Batch
from aelab.jobs.degradation import Degradation
from aelab.jobs.restoration import Restoration
from aelab.models import Autoencoder
from aelab.models.conditions import sees_observation
from aelab.models.distributions import rsample_and_log_prob
from aelab.models.distributions.divergence import space

Back = Callable[[Distribution], Tensor]  # p(x|z,c), (S, B) -> observations (S, B, *event), as of a `Kind`


class Augmentation(ABC):
    """A way to new observations: model, known ones of one class (B, ...), count -> (count, *event).

    Each is made of a known one that is drawn anew; all that is drawn comes from torch's default generators.
    InapplicableError for what the model cannot serve.
    """

    def __call__(self, model: Autoencoder, known: Batch, count: int, back: Back) -> Tensor:
        if sees_observation(model.conditioner):
            raise InapplicableError("the model is told a part of the image itself, which new ones have not")
        return self.made(model, known, picked(known, count), back)

    @abstractmethod
    def made(self, model: Autoencoder, known: Batch, chosen: Batch, back: Back) -> Tensor:
        """One of each of the chosen (count, ...)."""


class OfCodes(Augmentation):
    """What codes of the class are decoded to."""

    def made(self, model: Autoencoder, known: Batch, chosen: Batch, back: Back) -> Tensor:
        context = model.context(chosen)
        return back(model.decode(self.codes(model, known, chosen, context)[None], context))[0]

    @abstractmethod
    def codes(self, model: Autoencoder, known: Batch, chosen: Batch, context: Tensor | None) -> Tensor:
        """A code for each of the chosen, (count, latent)."""


class Samples(OfCodes):
    """Codes of the prior, by a model that is told the label."""

    def codes(self, model: Autoencoder, known: Batch, chosen: Batch, context: Tensor | None) -> Tensor:
        if model.prior is None or model.conditioner is None or not model.conditioner.classes:
            raise InapplicableError(
                "samples are of a class where the model has a prior and is told labels: train one with "
                "condition=label, or choose augmentation=posteriors"
            )
        prior = model.prior(context, model)
        return prior.sample(() if prior.batch_shape else (len(chosen.x),))


class Posteriors(OfCodes):
    """Codes of the posterior of a known observation."""

    def codes(self, model: Autoencoder, known: Batch, chosen: Batch, context: Tensor | None) -> Tensor:
        return rsample_and_log_prob(model.posterior_of(chosen.x, context))[0]


class Interpolations(OfCodes):
    """Codes at a place, drawn evenly, on the line between those of two known observations (as DeVries and
    Taylor 2017, https://arxiv.org/abs/1702.05538)."""

    def codes(self, model: Autoencoder, known: Batch, chosen: Batch, context: Tensor | None) -> Tensor:
        start = _real(model, chosen, context)
        end = _real(model, picked(known, len(chosen.x)), context)
        return torch.lerp(start, end, torch.rand(len(start), 1).to(start))


class Perturbations(OfCodes):
    """Codes of known observations with Gaussian noise of `scale` times the deviation of the class's codes."""

    def __init__(self, scale: float = 0.5) -> None:
        self.scale = not_negative("scale", scale)

    def codes(self, model: Autoencoder, known: Batch, chosen: Batch, context: Tensor | None) -> Tensor:
        codes, every = _real(model, chosen, context), _real(model, known, model.context(known))
        return codes + self.scale * every.std(0, correction=0) * torch.randn_like(codes)


class Restorations(Augmentation):
    """Known observations that were damaged, and what a restoration makes of them."""

    def __init__(self, degradation: Degradation, restoration: Restoration) -> None:
        self.degradation, self.restoration = degradation, restoration

    def made(self, model: Autoencoder, known: Batch, chosen: Batch, back: Back) -> Tensor:
        return self.restoration(model, self.degradation(chosen.x), chosen).mean


class Moved(Augmentation):
    """Known images (C, H, W), turned and shifted at random: the classical way, which reads no model.

    degrees, pixels: at most, to either side.
    """

    def __init__(self, degrees: float = 15.0, pixels: float = 2.0) -> None:
        self.degrees, self.pixels = not_negative("degrees", degrees), not_negative("pixels", pixels)

    def made(self, model: Autoencoder, known: Batch, chosen: Batch, back: Back) -> Tensor:
        x = chosen.x
        if x.dim() != 4:
            raise InapplicableError("images are turned and shifted, and these are none: choose another way")
        angle, down, right = (2 * torch.rand(3, len(x)) - 1).to(x)
        angle, size = angle * math.radians(self.degrees), x.new_tensor(x.shape[2:])
        cosine, sine = angle.cos(), angle.sin()
        shift = 2 * self.pixels * torch.stack([right, down], 1) / size.flip(0)
        tall = size[0] / size[1]
        turn = torch.stack([cosine, -sine * tall, sine / tall, cosine], 1).view(-1, 2, 2)
        places = F.affine_grid(torch.cat([turn, shift[..., None]], 2), list(x.shape), align_corners=False)
        return F.grid_sample(x, places, padding_mode="border", align_corners=False)


def picked(known: Batch, count: int) -> Batch:
    """So many of a batch, each drawn anew."""
    rows = torch.randint(len(known.x), (count,)).to(known.x.device)
    return known.map(lambda value: value[rows])


def not_negative(name: str, value: float) -> float:
    """ConfigurationError for an option that is below 0, or no finite number."""
    if not 0 <= value < math.inf:
        raise ConfigurationError(f"augmentation.{name}={value}: a number from 0 on is needed")
    return value


def _real(model: Autoencoder, batch: Batch, context: Tensor | None) -> Tensor:
    """Posterior means (B, latent); InapplicableError where there is nothing between two codes."""
    posterior = model.posterior_of(batch.x, context)
    if (kind := space(posterior)) != "real":
        raise InapplicableError(
            f"codes are no real vectors ({kind}), and between them there are none: choose "
            "augmentation=posteriors"
        )
    return posterior.mean
