"""The autoencoder: slots for its parts, and one pass through them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

from torch import Size, Tensor, nn
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.records import NO_ENCODER, Batch, Sizes, Trace
from aelab.models.conditions import Conditioner
from aelab.models.distributions import rsample_and_log_prob
from aelab.models.distributions.later import as_now
from aelab.models.evidence import proposed
from aelab.models.likelihoods import Likelihood
from aelab.models.posteriors import Posterior, check_latent
from aelab.models.priors import Prior

UNFITTED = "critics alone trained this model, and no likelihood was fitted"


class Autoencoder(nn.Module):
    """A latent variable model p(z|c) p(x|z,c) with an encoder and posterior q(z|x,c), in seven slots.

    encoder: (x, context) -> features. posterior: (features, step) -> q(z|x,c). Both are None for a generative
        model alone, whose codes are drawn from the prior.
    decoder: (z, context) -> params. likelihood: params -> p(x|z,c).
    prior: (context, model) -> p(z|c); None where the model has none, as a plain autoencoder.
    corruption: x -> what the encoder sees. conditioner: batch -> context.
    units, codes: as of its posterior.
    latent: the size of a code, of which the decoder reads `decoded` numbers, from the front; it is asked for
        a model without a posterior alone, which decides it elsewhere.

    fitted: whether p(x|z,c) was, as by any objective but critics alone.
    follows_gradient: whether inference itself differentiates the model, also at validation.
    tells_prior: whether the prior is given the observation.
    separable: whether the posterior is a function of the encoder's parameters alone.
    sizes: of an observation, a whole code and what is known of them, for parts built beside the model.

        x ──corruption──▶ encoder ──▶ features ──posterior──▶ q(z|x,c) ──▶ z (S, B, latent)
        context, model ──prior──▶ p(z|c)                                  │
                                       p(x|z,c) ◀──likelihood── decoder ◀─┘
    """

    fitted = True
    follows_gradient = False
    tells_prior = False
    separable = True

    def __init__(
        self,
        encoder: nn.Module | None,
        posterior: Posterior | None,
        decoder: nn.Module,
        likelihood: Likelihood,
        prior: Prior | None = None,
        corruption: nn.Module | None = None,
        conditioner: Conditioner | None = None,
        latent: int = 0,
    ) -> None:
        super().__init__()
        if posterior is None and (prior is None or corruption is not None or not self.separable):
            raise ConfigurationError(
                "a model without a posterior draws its codes from a prior and infers nothing: choose a prior "
                "with corruption=none and structure=plain, or a posterior"
            )
        if prior is not None and prior.observed and not self.tells_prior:
            raise ConfigurationError(
                "model.prior.observed=true reads the observation, which this structure does not tell its "
                "prior: choose structure=recurrent, as variant=vrnn does, or model.prior.observed=false"
            )
        self.encoder, self.posterior = encoder, posterior
        self.decoder, self.likelihood = decoder, likelihood
        self.prior, self.corruption, self.conditioner = prior, corruption, conditioner
        self.latent = check_latent(latent) if posterior is None else posterior.latent
        self.decoded = self.latent if posterior is None else posterior.decoded
        self.units = self.latent if posterior is None else posterior.units
        self.codes = None if posterior is None else posterior.codes
        self.sizes = Sizes(latent=self.latent, layout=(self.latent,))  # `autoencoder` knows more
        self.frozen: tuple[nn.Module, ...] = ()

    def freeze(self, slots: Collection[str]) -> None:
        """Keep the parts in these slots as they are: without gradients, and always in evaluation mode."""
        self.frozen = tuple(part for slot in slots if (part := getattr(self, slot)) is not None)
        for part in self.frozen:
            part.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def forward(self, batch: Batch, samples: int = 1, step: int = 0, shown: Tensor | None = None) -> Trace:
        """One pass with `samples` codes for each observation (S in `Trace`), at an optimisation step.

        shown: what the encoder sees in the place of the corrupted observations, (B, *event).
        """
        context = self.context(batch)
        corrupted = self._corrupted(batch.x) if shown is None else shown
        prior = self._prior(context, batch.x)
        posterior = None if self.encoder is None else self.infer(corrupted, context, step, prior)
        z, codes, log_q = _codes(posterior, prior, samples, len(batch.x))
        return Trace(
            batch=batch,
            corrupted=corrupted,
            context=context,
            posterior=posterior,
            prior=prior,
            z=z,
            decode=as_now(
                partial(self._likelihood, codes, z.shape[:2], context, batch.x), batch.x.device.type
            ),
            log_q=log_q,
            step=step,
        )

    def _corrupted(self, x: Tensor) -> Tensor:
        return x if self.corruption is None else self.corruption(x)

    def _prior(self, context: Tensor | None, x: Tensor) -> Distribution | None:
        """p(z|c), which may be given a part of the observations x (B, *event) too."""
        return None if self.prior is None else self.prior(context, self)

    def context(self, batch: Batch) -> Tensor | None:
        """What the model is told of each observation, c (B, C); None for an unconditional model."""
        return None if self.conditioner is None else self.conditioner(batch)

    def encode(self, x: Tensor, context: Tensor | None = None, step: int = 0) -> Distribution:
        """x (B, *event) -> q(z|x,c), batch shape (B,); InapplicableError for a model without an encoder."""
        if self.encoder is None or self.posterior is None:
            raise InapplicableError(NO_ENCODER)
        return self.posterior(self.encoder(x, context), step)

    def infer(
        self, x: Tensor, context: Tensor | None, step: int = 0, prior: Distribution | None = None
    ) -> Distribution:
        """`encode`, with the prior at hand: for structures whose inference reads the generative model."""
        return self.encode(x, context, step)

    def posterior_of(self, x: Tensor, context: Tensor | None = None) -> Distribution:
        """q(z|x,c) of x (B, *event) as it is, by whatever the model's inference reads; as `encode` else."""
        return self.infer(x, context, prior=self._prior(context, x))

    def decode(self, z: Tensor, context: Tensor | None = None) -> Distribution:
        """z (S, B, latent), context (B, C) -> p(x|z,c), batch shape (S, B)."""
        return self._decode(z.flatten(0, 1), z.shape[:2], context)

    def _decode(self, codes: Tensor, batch_shape: Size, context: Tensor | None) -> Distribution:
        if context is not None:
            context = context.expand(*batch_shape, -1).flatten(0, 1)
        if self.decoded != codes.shape[-1]:
            codes = codes[:, : self.decoded]
        return self.likelihood(self.decoder(codes, context).unflatten(0, batch_shape))

    def _likelihood(
        self, codes: Tensor, batch_shape: Size, context: Tensor | None, x: Tensor
    ) -> Distribution:
        return self._revealed(self._decode(codes, batch_shape, context), x)

    def likelihood_of(self, x: Tensor, z: Tensor, context: Tensor | None = None) -> Distribution:
        """p(x|z,c), as `decode`, of what the condition leaves unknown of x (B, *event)."""
        return self._revealed(self.decode(z, context), x)

    def _revealed(self, likelihood: Distribution, x: Tensor) -> Distribution:
        return likelihood if self.conditioner is None else self.conditioner.reveal(likelihood, x)

    def sample(self, count: int, given: Batch | None = None) -> Tensor:
        """Means of p(x|z,c) for `count` codes of the prior, or draws if the likelihood is `drawn`.

        (count, *event).

        given: `count` observations whose labels, attributes or images a conditional model is told.
        Raises ConfigurationError for a model without a prior.
        """
        if self.prior is None:
            raise ConfigurationError("a model without a prior cannot be sampled: choose a prior")
        context = self._told(count, given)
        prior = self.prior(context, self)
        z = prior.sample(() if prior.batch_shape else (count,))[None]
        likelihood = self.decode(z, context) if given is None else self.likelihood_of(given.x, z, context)
        return self.sample_of(likelihood)[0]

    def sample_of(self, likelihood: Distribution) -> Tensor:
        """What a sample shows of p(x|z,c): its mean, or a draw if the likelihood is `drawn`."""
        return likelihood.sample() if self.likelihood.drawn else likelihood.mean

    def _told(self, count: int, given: Batch | None) -> Tensor | None:
        """The context of `count` samples."""
        if self.conditioner is None:
            return None
        if given is None or len(given.x) != count:
            raise ConfigurationError(f"{count} samples of a conditional model need {count} conditions")
        return self.context(given)


def _codes(
    posterior: Distribution | None, prior: Distribution | None, samples: int, count: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Codes z (S, B, latent), the same as one batch (S * B, latent) for the decoder, and log q(z)."""
    if posterior is not None and samples == 1:
        # No gradient passes through this view: each costs 2 % of a tiny model's step.
        codes, log_q = rsample_and_log_prob(posterior)
        return codes[None], codes, None if log_q is None else log_q[None]
    z, log_q = proposed(posterior, prior, samples, count)
    return z, z.flatten(0, 1), log_q


def autoencoder(
    shape: Sequence[int],
    latent: int,
    classes: int | None,
    decoder: Callable[..., nn.Module],
    likelihood: Likelihood,
    encoder: Callable[..., nn.Module] | None = None,
    posterior: Callable[..., Posterior] | None = None,
    prior: Callable[..., Prior] | None = None,
    corruption: nn.Module | None = None,
    conditioner: Callable[..., Conditioner] | None = None,
    attributes: int | None = None,
    vocabulary: int | None = None,
    structure: Callable[..., Autoencoder] = Autoencoder,
) -> Autoencoder:
    """Join partly configured parts into an `Autoencoder`, giving each the sizes that others decide.

    shape: of one observation, as (C, H, W). latent: the size of z, or of its first layer, or the channels of
    a code that is a map. classes, attributes, vocabulary: as in `Sizes`.
    structure: the class of the model, where inference is more than encoder and posterior.
    """
    check_latent(latent)
    if (encoder is None) != (posterior is None):
        raise ConfigurationError("an encoder and a posterior go together: choose both, or posterior=none")
    known = Sizes(
        shape=tuple(shape), latent=latent, layout=(latent,),
        classes=classes, attributes=attributes, vocabulary=vocabulary,
    )  # fmt: skip
    condition = conditioner and conditioner(known)
    known = replace(known, context=condition.features if condition else 0)
    encoded = encoder and encoder(known)
    inference: Any = encoded and posterior and posterior(encoded.features, known)
    read = known
    if inference:
        read = replace(
            known, latent=inference.decoded, layout=inference.layout,
            codes=inference.codes, symbols=inference.symbols,
        )  # fmt: skip
    whole = replace(read, latent=inference.latent) if inference else known
    model = structure(
        encoder=encoded,
        posterior=inference,
        decoder=decoder(replace(read, shape=likelihood.parameters_of(known.shape))),
        likelihood=likelihood,
        prior=prior and prior(whole),
        corruption=corruption,
        conditioner=condition,
        latent=latent,
    )
    model.sizes = whole
    return model
