"""Mixtures: of free Gaussians, of the posteriors of learned pseudo-inputs, of those of training images."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily, MultivariateNormal

from aelab.core.checks import at_least
from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Gaussian, bounded, has_density
from aelab.models.priors.base import Encodes, Fitted, Prior

FLOOR = 1e-6  # of a variance that is fitted, as in scikit-learn


def mixture(logits: Tensor, components: Distribution) -> MixtureSameFamily:
    """A mixture of the K distributions of `components`, batch shape (K,); logits: (K,)."""
    weights = Categorical(logits=logits, validate_args=False)
    return MixtureSameFamily(weights, components, validate_args=False)


class Mixture(Fitted):
    """A mixture of `components` Gaussians, trained by gradient, or by expectation maximisation in a second
    stage (Dempster, Laird and Rubin 1977), which begins from the best of so many `starts`, each of them
    k-means and EM to its end on the codes at the start.

    EM of a component on codes z with responsibilities r: its weight is the mean of r, its mean and covariance
    those of z under r. Sums are kept in float64. A component that answers for less than one code stays.
    """

    codes_at_start = 10_000
    clusters = True
    covariance: ClassVar[Literal["diag", "full"]]
    count: Tensor
    first: Tensor
    second: Tensor

    def __init__(self, components: int, latent: int, second: Sequence[int], starts: int) -> None:
        super().__init__()
        check_components("components", components)
        at_least(1, starts=starts)
        self.starts = starts
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent))
        for name, shape in (("count", ()), ("first", (latent,)), ("second", second)):
            sums = torch.zeros(components, *shape, dtype=torch.float64)
            self.register_buffer(name, sums, persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> MixtureSameFamily:
        return mixture(self.logits, self.components())

    @abstractmethod
    def components(self) -> Distribution:
        """The Gaussians, batch shape (components,)."""

    @abstractmethod
    def moments(self, r: Tensor, z: Tensor) -> Tensor:
        """The sums of second moments of codes (N, latent) under weights (N, components)."""

    @abstractmethod
    def spread(self, loc: Tensor, second: Tensor, chosen: Tensor) -> None:
        """Give components that are `chosen` the covariance of their second moments around their means."""

    @torch.no_grad()
    def begin(self, z: Tensor) -> None:
        from sklearn.mixture import GaussianMixture as Start

        clusters = min(len(self.loc), len(z))
        start = Start(
            clusters,
            covariance_type=self.covariance,
            n_init=self.starts,
            random_state=int(torch.randint(2**31, ())),
        )
        codes = z.double().cpu().numpy()
        with warnings.catch_warnings(action="ignore"):  # of starts that have not converged, or of codes alike
            r = torch.as_tensor(start.fit(codes).predict_proba(codes), device=z.device)
        self._add(F.pad(r, (0, len(self.loc) - clusters)), z.double())
        self.refit()

    @torch.no_grad()
    def gather(self, z: Tensor) -> None:
        joint = self.logits.log_softmax(-1) + self.components().log_prob(z[:, None])
        self._add(joint.softmax(-1).double(), z.double())

    def _add(self, r: Tensor, z: Tensor) -> None:
        self.count += r.sum(0)
        self.first += r.T @ z
        self.second += self.moments(r, z)

    @torch.no_grad()
    def refit(self) -> None:
        chosen = self.count >= 1
        loc = self.first / self.count[:, None]
        self.logits.copy_((self.count / self.count.sum()).log().clamp_min(-30))
        self.loc.copy_(torch.where(chosen[:, None], loc, self.loc))
        self.spread(loc, self.second, chosen)
        for sums in (self.count, self.first, self.second):
            sums.zero_()


class GaussianMixture(Mixture):
    """Of Gaussians with diagonal covariance (Jiang et al. 2017)."""

    covariance = "diag"

    def __init__(self, sizes: Sizes, components: int = 50, starts: int = 1) -> None:
        super().__init__(components, sizes.latent, (sizes.latent,), starts)
        self.log_variance = nn.Parameter(torch.zeros(components, sizes.latent))

    def components(self) -> Gaussian:
        return Gaussian(self.loc, bounded(self.log_variance))

    def moments(self, r: Tensor, z: Tensor) -> Tensor:
        return r.T @ z.square()

    def spread(self, loc: Tensor, second: Tensor, chosen: Tensor) -> None:
        variance = (second / self.count[:, None] - loc.square()).clamp_min(0) + FLOOR
        self.log_variance.copy_(torch.where(chosen[:, None], variance.log(), self.log_variance))


class FullGaussianMixture(Mixture):
    """Of Gaussians with covariance L L'.

    below: L under its diagonal. log_variance: twice the logarithm of the diagonal.
    """

    covariance = "full"

    def __init__(self, sizes: Sizes, components: int = 10, starts: int = 1) -> None:
        latent = sizes.latent
        super().__init__(components, latent, (latent, latent), starts)
        self.log_variance = nn.Parameter(torch.zeros(components, latent))
        self.below = nn.Parameter(torch.zeros(components, latent, latent))

    def components(self) -> MultivariateNormal:
        diagonal = (0.5 * bounded(self.log_variance)).exp()
        factor = self.below.tril(-1) + diagonal.diag_embed()
        return MultivariateNormal(self.loc, scale_tril=factor, validate_args=False)

    def moments(self, r: Tensor, z: Tensor) -> Tensor:
        return torch.einsum("nk,ni,nj->kij", r, z, z)

    def spread(self, loc: Tensor, second: Tensor, chosen: Tensor) -> None:
        own = self.components().covariance_matrix.double()
        found = second / self.count[:, None, None] - loc[:, :, None] * loc[:, None]
        floor = FLOOR * torch.eye(loc.shape[-1], dtype=loc.dtype, device=loc.device)
        factor = torch.linalg.cholesky(torch.where(chosen[:, None, None], found + floor, own))
        self.log_variance.copy_(2 * factor.diagonal(dim1=-2, dim2=-1).log())
        self.below.copy_(factor.tril(-1))


class Vamp(Prior):
    """The mixture of the posteriors of `components` learned pseudo-inputs (Tomczak and Welling 2018).

    The pseudo-inputs begin as training data; those of a conditional model have contexts of their own.

    bounds: that their values are kept in; None: they have none.
    """

    def __init__(self, sizes: Sizes, components: int = 500, bounds: Sequence[float] | None = (0, 1)) -> None:
        super().__init__()
        if sizes.vocabulary is not None:
            raise ConfigurationError(
                "prior=vamp learns inputs of its own, and tokens are names that no gradient moves: choose "
                "prior=exemplar, of sequences of the training split, or gaussian_mixture"
            )
        self.examples, self.bounds = check_components("components", components), bounds
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
    logits: Tensor

    def __init__(self, sizes: Sizes, components: int = 500) -> None:
        super().__init__()
        self.examples = check_components("components", components)
        names = sizes.vocabulary is not None  # tokens, which networks look up
        exemplars = torch.rand(components, *sizes.shape)
        self.register_buffer(
            "exemplars", torch.ones_like(exemplars, dtype=torch.long) if names else exemplars
        )
        self.register_buffer("logits", torch.zeros(components))
        self.log_variance = nn.Parameter(torch.zeros(()))
        self.contexts = nn.Parameter(torch.zeros(components, sizes.context)) if sizes.context else None

    def initialise(self, x: Tensor) -> None:
        self.exemplars.copy_(x[torch.arange(self.examples, device=x.device) % len(x)])
        self.logits[len(x) :] = -30  # of what repeats an image, so that all weigh alike

    def forward(self, context: Tensor | None, model: Encodes) -> MixtureSameFamily:
        centres = model.encode(self.exemplars, self.contexts).mean
        return mixture(self.logits, Gaussian(centres, bounded(self.log_variance)))


def check_components(name: str, count: int) -> int:
    """The count of a mixture's components if it has any; ConfigurationError otherwise."""
    if count < 1:
        raise ConfigurationError(f"model.prior.{name}={count}: a mixture has at least 1 component")
    return count
