"""Mixtures: of free Gaussians, of the posteriors of learned pseudo-inputs, of those of training images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Gaussian, bounded, has_density
from aelab.models.priors.base import Encodes, Prior


def mixture(logits: Tensor, components: Distribution) -> MixtureSameFamily:
    """A mixture of the K distributions of `components`, batch shape (K,); logits: (K,)."""
    weights = Categorical(logits=logits, validate_args=False)
    return MixtureSameFamily(weights, components, validate_args=False)


class GaussianMixture(Prior):
    """A mixture of `components` diagonal Gaussians with trained weights (Jiang et al. 2017)."""

    def __init__(self, sizes: Sizes, components: int = 50) -> None:
        super().__init__()
        _check("components", components)
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, sizes.latent))
        self.log_variance = nn.Parameter(torch.zeros(components, sizes.latent))

    def forward(self, context: Tensor | None, model: Encodes) -> MixtureSameFamily:
        return mixture(self.logits, Gaussian(self.loc, bounded(self.log_variance)))


class Vamp(Prior):
    """The mixture of the posteriors of `components` learned pseudo-inputs (Tomczak and Welling 2018).

    The pseudo-inputs begin as training data; those of a conditional model have contexts of their own.

    bounds: that their values are kept in; None: they have none.
    """

    def __init__(self, sizes: Sizes, components: int = 500, bounds: Sequence[float] | None = (0, 1)) -> None:
        super().__init__()
        self.examples, self.bounds = _check("components", components), bounds
        self.pseudo_inputs = nn.Parameter(torch.rand(components, *sizes.shape))
        self.logits = nn.Parameter(torch.zeros(components), requires_grad=False)
        self.contexts = nn.Parameter(torch.zeros(components, sizes.context)) if sizes.context else None

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        # Fewer images than pseudo-inputs are repeated.
        self.pseudo_inputs.copy_(x[torch.arange(self.examples, device=x.device) % len(x)])

    def forward(self, context: Tensor | None, model: Encodes) -> MixtureSameFamily:
        inputs = self.pseudo_inputs if self.bounds is None else self.pseudo_inputs.clamp(*self.bounds)
        components = model.encode(inputs, self.contexts)
        if not has_density(components) or len(components.batch_shape) != 1:
            raise ConfigurationError(
                "prior=vamp mixes the posteriors of pseudo-inputs, and this posterior has no density: choose "
                "posterior=diagonal_gaussian, or prior=standard_normal"
            )
        return mixture(self.logits, components)


class Exemplar(Prior):
    """A mixture of Gaussians of one trained variance around training images' codes (Norouzi et al. 2020).

    Of a subset of `components` images, kept with the weights, where the paper takes all of them and leaves
    the encoded one out.
    """

    exemplars: Tensor

    def __init__(self, sizes: Sizes, components: int = 500) -> None:
        super().__init__()
        self.examples = _check("components", components)
        self.register_buffer("exemplars", torch.rand(components, *sizes.shape))
        self.register_buffer("logits", torch.zeros(components))
        self.log_variance = nn.Parameter(torch.zeros(()))
        self.contexts = nn.Parameter(torch.zeros(components, sizes.context)) if sizes.context else None

    def initialise(self, x: Tensor) -> None:
        self.exemplars.copy_(x[torch.arange(self.examples, device=x.device) % len(x)])

    def forward(self, context: Tensor | None, model: Encodes) -> MixtureSameFamily:
        centres = model.encode(self.exemplars, self.contexts).mean
        return mixture(self.logits, Gaussian(centres, bounded(self.log_variance)))  # type: ignore[arg-type]


def _check(name: str, count: int) -> int:
    if count < 1:
        raise ConfigurationError(f"model.prior.{name}={count}: a mixture has at least 1 component")
    return count
