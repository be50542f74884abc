"""What critics compare: the model's side, and the side that it is held against."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes, Trace
from aelab.models import Autoencoder

Shapes = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Sample:
    """One side of a comparison: parts (N, *shape) that belong together, and the context (N, C) or None."""

    parts: tuple[Tensor, ...]
    context: Tensor | None

    def constant(self) -> "Sample":
        """The same values, which nothing learns by."""
        context = None if self.context is None else self.context.detach()
        return Sample(tuple(part.detach() for part in self.parts), context)


class Comparison(ABC):
    """Two sides read off one pass: `true`, and `made` by what the critic shall improve.

    moves_both: whether the model makes the true side too, and so is to pay for both.
    of_samples: whether the side that is made is decoded from codes of the prior, and of nothing else.
    """

    moves_both: ClassVar[bool] = False
    of_samples: ClassVar[bool] = False

    @abstractmethod
    def shapes(self, sizes: Sizes) -> Shapes:
        """The shapes of a sample's parts."""

    @abstractmethod
    def true(self, trace: Trace, model: Autoencoder) -> Sample: ...

    @abstractmethod
    def made(self, trace: Trace, model: Autoencoder) -> Sample: ...


class CodesWithPrior(Comparison):
    """Codes of observations with draws of the prior (AAE, Makhzani et al. 2016,
    https://arxiv.org/abs/1511.05644).

    last: so many numbers of a code alone, from its end; None: all of them. without_last: all but so many.
    """

    def __init__(self, last: int | None = None, without_last: int | None = None) -> None:
        self.part = slice(None if last is None else -last, None if without_last is None else -without_last)

    def shapes(self, sizes: Sizes) -> Shapes:
        size = len(range(sizes.latent)[self.part])
        if size < 1 or (self.part.start or 0) < -sizes.latent:
            raise ConfigurationError(
                f"a critic of the part {self.part.start}:{self.part.stop} of codes of latent={sizes.latent} "
                "has nothing to compare: give compares.last or without_last below it"
            )
        return [(size,)]

    def true(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample((drawn(trace, "a critic of codes")[:, self.part],), trace.context)

    def made(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample((codes(trace, "a critic of codes")[:, self.part],), trace.context)


class CodesWithPermuted(Comparison):
    """Codes with the same ones permuted over the batch, in each dimension for itself: draws of the product of
    their marginals (FactorVAE, Kim and Mnih 2018, https://arxiv.org/abs/1802.05983)."""

    def shapes(self, sizes: Sizes) -> Shapes:
        return [(sizes.latent,)]

    def true(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample((permuted(codes(trace, "a critic of codes")),), trace.context)

    def made(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample((codes(trace, "a critic of codes"),), trace.context)


def permuted(z: Tensor) -> Tensor:
    """z (B, D) with the values of each column in an order of its own."""
    return z.gather(0, torch.rand_like(z).argsort(0))


class ObservationsWithSamples(Comparison):
    """Observations with what codes of the prior are decoded to (GAN, Goodfellow et al. 2014,
    https://arxiv.org/abs/1406.2661)."""

    of_samples = True

    def shapes(self, sizes: Sizes) -> Shapes:
        return [sizes.shape]

    def true(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample((trace.x,), trace.context)

    def made(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample((samples(trace, model)[0],), trace.context)


class ObservationsWithReconstructions(ObservationsWithSamples):
    """Observations with their reconstructions.

    to_encoder: whether the encoder pays for them too, or the decoder alone (VAE-GAN, Larsen et al. 2016,
        https://arxiv.org/abs/1512.09300).
    """

    of_samples = False

    def __init__(self, to_encoder: bool = False) -> None:
        self.to_encoder = to_encoder

    def made(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample((reconstructions(trace, model, self.to_encoder),), trace.context)


class ObservationsWithBoth(ObservationsWithReconstructions):
    """Observations with their reconstructions and with samples, as many of each (VAE-GAN, Larsen et al. 2016,
    https://arxiv.org/abs/1512.09300)."""

    def made(self, trace: Trace, model: Autoencoder) -> Sample:
        parts = [reconstructions(trace, model, self.to_encoder), samples(trace, model)[0]]
        context = None if trace.context is None else trace.context.repeat(2, 1)
        return Sample((torch.cat(parts),), context)


class Pairs(Comparison):
    """Observations and their codes with samples and theirs; the model moves both (BiGAN, Donahue, Krähenbühl
    and Darrell 2017, https://arxiv.org/abs/1605.09782; ALI, Dumoulin et al. 2017,
    https://arxiv.org/abs/1606.00704)."""

    moves_both = True
    of_samples = True

    def shapes(self, sizes: Sizes) -> Shapes:
        return [sizes.shape, (sizes.latent,)]

    def true(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample((trace.x, codes(trace, "a critic of pairs")), trace.context)

    def made(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample(samples(trace, model), trace.context)


class CodesGivenObservations(Comparison):
    """Observations with codes of the prior, and with codes of theirs: the ratio of the densities is that of
    p(z) and q(z|x), which an implicit posterior does not know (AVB, Mescheder, Nowozin and Geiger 2017,
    https://arxiv.org/abs/1701.04722)."""

    def shapes(self, sizes: Sizes) -> Shapes:
        return [(sizes.latent,), (math.prod(sizes.shape),)]

    def true(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample((drawn(trace, "a critic of codes"), trace.x.flatten(1)), trace.context)

    def made(self, trace: Trace, model: Autoencoder) -> Sample:
        return Sample((codes(trace, "a critic of codes"), trace.x.flatten(1)), trace.context)


def codes(trace: Trace, reader: str) -> Tensor:
    """The first code of each observation, (B, latent); ConfigurationError for a model without an encoder."""
    if trace.posterior is None:
        raise ConfigurationError(
            f"{reader} needs a posterior, and the model has no encoder: choose critic=[samples], or a "
            "variant with an encoder, as aae, vae_gan or bigan"
        )
    return trace.z[0]


def drawn(trace: Trace, reader: str) -> Tensor:
    """A code of the prior for each observation, (B, latent), with a gradient where the prior has one."""
    if trace.prior is None:
        raise ConfigurationError(f"{reader} compares them with a prior's: choose prior=standard_normal")
    draw = trace.prior.rsample if trace.prior.has_rsample else trace.prior.sample
    return draw(() if trace.prior.batch_shape else (len(trace.x),))


def samples(trace: Trace, model: Autoencoder) -> tuple[Tensor, Tensor]:
    """Means of p(x|z,c) for a code z of the prior for each observation, (B, *shape), and these codes."""
    if trace.posterior is None:
        return trace.likelihood.mean[0], trace.z[0]
    return trace.once("samples", lambda: _sampled(trace, model))


def _sampled(trace: Trace, model: Autoencoder) -> tuple[Tensor, Tensor]:
    z = drawn(trace, "a critic of samples").detach()
    return model.likelihood_of(trace.x, z[None], trace.context).mean[0], z


def reconstructions(trace: Trace, model: Autoencoder, to_encoder: bool) -> Tensor:
    """Means of p(x|z,c) for the first code of each observation, (B, *shape)."""
    z = codes(trace, "a critic of reconstructions")
    if to_encoder:
        return trace.likelihood.mean[0]
    context = None if trace.context is None else trace.context.detach()
    return trace.once(
        "reconstructions", lambda: model.likelihood_of(trace.x, z[None].detach(), context).mean[0]
    )
