"""The autoencoder: slots for its parts, and one pass through them."""

from collections.abc import Callable, Collection, Sequence
from typing import Self

from torch import Size, Tensor, nn
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.models.conditions import Conditioner
from aelab.models.likelihoods import Likelihood
from aelab.models.posteriors import Posterior, check_latent
from aelab.models.priors import Prior


class Autoencoder(nn.Module):
    """A latent variable model p(z|c) p(x|z,c) with an encoder and posterior q(z|x,c), in seven slots.

    encoder: (x, context) -> features. posterior: (features, step) -> q(z|x,c).
    decoder: (z, context) -> params. likelihood: params -> p(x|z,c).
    prior: (context, encode) -> p(z|c); None where the model has none, as a plain autoencoder.
    corruption: x -> what the encoder sees. conditioner: batch -> context.

    follows_gradient: whether inference itself differentiates the model, also at validation.
    """

    follows_gradient = False

    def __init__(
        self,
        encoder: nn.Module,
        posterior: Posterior,
        decoder: nn.Module,
        likelihood: Likelihood,
        prior: Prior | None = None,
        corruption: nn.Module | None = None,
        conditioner: Conditioner | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.posterior = encoder, posterior
        self.decoder, self.likelihood = decoder, likelihood
        self.prior, self.corruption, self.conditioner = prior, corruption, conditioner
        self.frozen: tuple[nn.Module, ...] = ()

    def freeze(self, slots: Collection[str]) -> None:
        """Keep the parts in these slots as they are: without gradients, and always in evaluation mode."""
        self.frozen = tuple(getattr(self, slot) for slot in slots)
        for part in self.frozen:
            part.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    @property
    def latent(self) -> int:
        """The size of a code."""
        return self.posterior.latent

    def forward(self, batch: Batch, samples: int = 1, step: int = 0, shown: Tensor | None = None) -> Trace:
        """One pass with `samples` codes for each observation (S in `Trace`), at an optimisation step.

        shown: what the encoder sees in the place of the corrupted observations, (B, *event).
        """
        context = self.context(batch)
        corrupted = self._corrupted(batch.x) if shown is None else shown
        prior = None if self.prior is None else self.prior(context, self.encode)
        posterior = self.infer(corrupted, context, step, prior)
        z, codes = _codes(posterior, samples)
        return Trace(
            x=batch.x,
            corrupted=corrupted,
            context=context,
            posterior=posterior,
            prior=prior,
            z=z,
            likelihood=self._revealed(self._decode(codes, z.shape[:2], context), batch.x),
            step=step,
            batch=batch,
        )

    def _corrupted(self, x: Tensor) -> Tensor:
        return x if self.corruption is None else self.corruption(x)

    def context(self, batch: Batch) -> Tensor | None:
        """What the model is told of each observation, c (B, C); None for an unconditional model."""
        return None if self.conditioner is None else self.conditioner(batch)

    def encode(self, x: Tensor, context: Tensor | None = None, step: int = 0) -> Distribution:
        """x (B, *event) -> q(z|x,c), batch shape (B,)."""
        return self.posterior(self.encoder(x, context), step)

    def infer(
        self, x: Tensor, context: Tensor | None, step: int = 0, prior: Distribution | None = None
    ) -> Distribution:
        """`encode`, with the prior at hand: for structures whose inference reads the generative model."""
        return self.encode(x, context, step)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Distribution:
        """z (S, B, latent), context (B, C) -> p(x|z,c), batch shape (S, B)."""
        return self._decode(z.flatten(0, 1), z.shape[:2], context)

    def _decode(self, codes: Tensor, batch_shape: Size, context: Tensor | None) -> Distribution:
        if context is not None:
            context = context.expand(*batch_shape, -1).flatten(0, 1)
        if self.posterior.decoded != self.posterior.latent:
            codes = codes[:, : self.posterior.decoded]
        return self.likelihood(self.decoder(codes, context).unflatten(0, batch_shape))

    def likelihood_of(self, x: Tensor, z: Tensor, context: Tensor | None = None) -> Distribution:
        """p(x|z,c), as `decode`, of what the condition leaves unknown of x (B, *event)."""
        return self._revealed(self.decode(z, context), x)

    def _revealed(self, likelihood: Distribution, x: Tensor) -> Distribution:
        return likelihood if self.conditioner is None else self.conditioner.reveal(likelihood, x)

    def sample(self, count: int, given: Batch | None = None) -> Tensor:
        """Means of p(x|z,c) for `count` codes of the prior: (count, *event).

        given: `count` observations whose labels, attributes or images a conditional model is told.
        Raises ConfigurationError for a model without a prior.
        """
        if self.prior is None:
            raise ConfigurationError("a model without a prior cannot be sampled: choose a prior")
        if self.conditioner is None:
            context = None
        elif given is None or len(given.x) != count:
            raise ConfigurationError(f"{count} samples of a conditional model need {count} conditions")
        else:
            context = self.context(given)
        prior = self.prior(context, self.encode)
        z = prior.sample(() if prior.batch_shape else (count,))[None]
        likelihood = self.decode(z, context) if given is None else self.likelihood_of(given.x, z, context)
        return likelihood.mean[0]


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
    posterior: Callable[..., Posterior],
    decoder: Callable[..., nn.Module],
    likelihood: Likelihood,
    prior: Callable[..., Prior] | None = None,
    corruption: nn.Module | None = None,
    conditioner: Callable[..., Conditioner] | None = None,
    attributes: int | None = None,
    structure: Callable[..., Autoencoder] = Autoencoder,
) -> Autoencoder:
    """Join partly configured parts into an `Autoencoder`, giving each the sizes that others decide.

    shape: of one observation, as (C, H, W). latent: the size of z, or of its first layer.
    classes: the number of labels, attributes: of attributes; None without them.
    structure: the class of the model, where inference is more than encoder and posterior.
    """
    check_latent(latent)
    condition = conditioner and conditioner(shape=shape, classes=classes, attributes=attributes)
    context = condition.features if condition else 0
    encoded = encoder(shape=shape, context=context)
    inference = posterior(features=encoded.features, latent=latent)
    output = (likelihood.parameters_for(shape[0]), *shape[1:])
    return structure(
        encoder=encoded,
        posterior=inference,
        decoder=decoder(latent=inference.decoded, context=context, shape=output),
        likelihood=likelihood,
        prior=prior and prior(latent=inference.latent, context=context, shape=shape),
        corruption=corruption,
        conditioner=condition,
    )
