"""The autoencoder: slots for its parts, and one pass through them."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Size, Tensor, nn
from torch.distributions import Distribution

from aelab.errors import ConfigurationError
from aelab.likelihoods import Likelihood
from aelab.posteriors import check_latent
from aelab.records import Batch, Trace


class Autoencoder(nn.Module):
    """A latent variable model p(z|c) p(x|z,c) with an encoder and posterior q(z|x,c), in seven slots.

    encoder: (x, context) -> features. posterior: (features, context) -> q(z|x,c).
    decoder: (z, context) -> params. likelihood: params -> p(x|z,c).
    prior: (context, encode) -> p(z|c); None where the model has none, as a plain autoencoder.
    corruption: x -> what the encoder sees. conditioner: labels -> context.
    """

    def __init__(
        self,
        encoder: nn.Module,
        posterior: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        prior: nn.Module | None = None,
        corruption: nn.Module | None = None,
        conditioner: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.posterior = encoder, posterior
        self.decoder, self.likelihood = decoder, likelihood
        self.prior, self.corruption, self.conditioner = prior, corruption, conditioner

    def forward(self, batch: Batch, samples: int = 1) -> Trace:
        """One pass with `samples` codes for each observation (S in `Trace`)."""
        context = self.context(batch.y)
        corrupted = batch.x if self.corruption is None else self.corruption(batch.x)
        posterior = self.encode(corrupted, context)
        z, codes = _codes(posterior, samples)
        return Trace(
            x=batch.x,
            corrupted=corrupted,
            context=context,
            posterior=posterior,
            prior=None if self.prior is None else self.prior(context, self.encode),
            z=z,
            likelihood=self._decode(codes, z.shape[:2], context),
        )

    def context(self, y: Tensor | None) -> Tensor | None:
        """Labels (B,) -> c (B, C); None for an unconditional model."""
        return None if self.conditioner is None else self.conditioner(y)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Distribution:
        """x (B, *event) -> q(z|x,c), batch shape (B,)."""
        return self.posterior(self.encoder(x, context), context)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Distribution:
        """z (S, B, latent), context (B, C) -> p(x|z,c), batch shape (S, B)."""
        return self._decode(z.flatten(0, 1), z.shape[:2], context)

    def _decode(self, codes: Tensor, batch_shape: Size, context: Tensor | None) -> Distribution:
        if context is not None:
            context = context.expand(*batch_shape, -1).flatten(0, 1)
        return self.likelihood(self.decoder(codes, context).unflatten(0, batch_shape))

    def sample(self, count: int, y: Tensor | None = None) -> Tensor:
        """Means of p(x|z,c) for `count` codes of the prior: (count, *event); y (count,) if conditional.

        Raises ConfigurationError for a model without a prior.
        """
        if self.prior is None:
            raise ConfigurationError("a model without a prior cannot be sampled: choose a prior")
        if y is not None and len(y) != count:
            raise ConfigurationError(f"{count} samples need {count} labels, and there are {len(y)}")
        context = self.context(y)
        prior = self.prior(context, self.encode)
        z = prior.sample(() if prior.batch_shape else (count,))
        return self.decode(z[None], context).mean[0]


def _codes(posterior: Distribution, samples: int) -> tuple[Tensor, Tensor]:
    """Samples z (S, B, *latent), and the same as one batch (S * B, *latent) for the decoder."""
    if samples == 1:  # no gradient passes through this view: each costs 2 % of a tiny model's step
        codes = posterior.rsample()
        return codes[None], codes
    z = posterior.rsample((samples,))
    return z, z.flatten(0, 1)


def autoencoder(
    shape: Sequence[int],
    latent: int,
    classes: int | None,
    encoder: Callable[..., nn.Module],
    posterior: Callable[..., nn.Module],
    decoder: Callable[..., nn.Module],
    likelihood: Likelihood,
    prior: Callable[..., nn.Module] | None = None,
    corruption: nn.Module | None = None,
    conditioner: Callable[..., nn.Module] | None = None,
) -> Autoencoder:
    """Join partly configured parts into an `Autoencoder`, giving each the sizes that others decide.

    shape: of one observation, as (C, H, W). latent: the size of z. classes: the number of labels, or None.
    """
    check_latent(latent)
    conditioned = None if conditioner is None else conditioner(classes=classes)
    context: Any = 0 if conditioned is None else conditioned.features
    encoded = encoder(shape=shape, context=context)
    output = (likelihood.parameters_per_value * shape[0], *shape[1:])
    return Autoencoder(
        encoder=encoded,
        posterior=posterior(features=encoded.features, latent=latent),
        decoder=decoder(latent=latent, context=context, shape=output),
        likelihood=likelihood,
        prior=None if prior is None else prior(latent=latent, context=context),
        corruption=corruption,
        conditioner=conditioned,
    )
