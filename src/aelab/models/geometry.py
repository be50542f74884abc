"""Metrics of a space of codes, and the dynamics of a momentum in them.

H(z, rho) = energy(z) + 1/2 rho' G^-1(z) rho + 1/2 log det G(z), of a code z and a momentum of N(0, G(z)).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.precision import in_float32
from aelab.models.distributions import StandardGaussian
from aelab.models.posteriors.base import Features

Energy = Callable[[Tensor], Tensor]
State = tuple[Tensor, Tensor, Tensor]
"""Codes, their momenta, and d energy / dz, with which the next step begins too: (S, B, latent) each."""


class Geometry(ABC):
    """A metric as it is in one pass."""

    @abstractmethod
    def coloured(self, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor | float]:
        """Standard noise (S, B, latent) made a draw of N(0, G(z)), and the map's log-determinant (S, B)."""

    @abstractmethod
    def log_prob(self, z: Tensor, momentum: Tensor) -> Tensor:
        """log N(momentum; 0, G(z)), (S, B)."""

    @abstractmethod
    def leapfrog(self, z: Tensor, momentum: Tensor, slope: Tensor, size: Tensor, energy: Energy) -> State:
        """One step of Hamilton's equations, reversible and volume-preserving.

        slope: d energy / dz. energy: z (S, B, latent) -> (S, B).
        """


class Flat(Geometry):
    """G = I."""

    def coloured(self, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor | float]:
        return noise, 0.0

    def log_prob(self, z: Tensor, momentum: Tensor) -> Tensor:
        return StandardGaussian(torch.zeros_like(momentum[0, 0])).log_prob(momentum)

    def leapfrog(self, z: Tensor, momentum: Tensor, slope: Tensor, size: Tensor, energy: Energy) -> State:
        momentum = momentum - 0.5 * size * slope
        z = z + size * momentum
        slope = gradient(energy, z)
        return z, momentum - 0.5 * size * slope, slope


@dataclass(frozen=True)
class KernelGeometry(Geometry):
    """G^-1(z) = sum_i M_i exp(-|z - c_i|^2 / width^2) + least I.

    centres: c (K, latent). matrices: M (K, latent, latent), positive semidefinite.
    iterations: of each implicit equation of a step.
    """

    centres: Tensor
    matrices: Tensor
    width: float
    least: float
    iterations: int

    def weights(self, z: Tensor) -> Tensor:
        """exp(-|z - c_i|^2 / width^2), (..., K)."""
        squares = z.square().sum(-1, keepdim=True) + self.centres.square().sum(-1)
        return (-(squares - 2 * z @ self.centres.T).clamp_min(0) / self.width**2).exp()

    def inverse(self, z: Tensor) -> Tensor:
        """G^-1(z), (..., latent, latent)."""
        return self._inverse(self.weights(z))

    def _inverse(self, weights: Tensor) -> Tensor:
        size = self.centres.shape[1]
        eye = torch.eye(size, dtype=weights.dtype, device=weights.device)
        return (weights @ self.matrices.flatten(1)).unflatten(-1, (size, size)) + self.least * eye

    def coloured(self, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor | float]:
        with in_float32(z.device):
            factor = _root(self.inverse(z))
            momentum = torch.linalg.solve_triangular(factor.mT, noise[..., None], upper=True)
            return momentum[..., 0], -_log_diagonal(factor)

    def log_prob(self, z: Tensor, momentum: Tensor) -> Tensor:
        with in_float32(z.device):
            inverse = self.inverse(z)
            half = _log_diagonal(_root(inverse))
            squares = (momentum * _times(inverse, momentum)).sum(-1)
            return half - 0.5 * (squares + z.shape[-1] * math.log(2 * math.pi))

    def velocity(self, z: Tensor, momentum: Tensor) -> Tensor:
        """dH / d momentum = G^-1(z) momentum, (S, B, latent)."""
        with in_float32(z.device):
            return _times(self.inverse(z), momentum)

    def slope(self, z: Tensor) -> Callable[[Tensor], Tensor]:
        """dH / dz but for the energy's, a function of the momentum."""
        with in_float32(z.device):
            weights = self.weights(z)
            metric = torch.cholesky_inverse(_root(self._inverse(weights)))

        def of_momentum(momentum: Tensor) -> Tensor:
            with in_float32(z.device):
                squares = momentum[..., :, None] * momentum[..., None, :] - metric
                each = weights * (squares.flatten(-2) @ self.matrices.flatten(1).T)
                return -(each.sum(-1, keepdim=True) * z - each @ self.centres) / self.width**2

        return of_momentum

    def leapfrog(self, z: Tensor, momentum: Tensor, slope: Tensor, size: Tensor, energy: Energy) -> State:
        """The generalised one (Girolami and Calderhead 2011, https://doi.org/10.1111/j.1467-9868.2010.00765.x),
        whose first two equations are implicit and solved by iterations; the energy is not in them."""
        half, kinetic = 0.5 * size, self.slope(z)
        pushed = momentum - half * slope
        momentum = self._fixed(lambda rho: pushed - half * kinetic(rho), pushed)
        moved, held = z + half * self.velocity(z, momentum), momentum
        z = self._fixed(lambda at: moved + half * self.velocity(at, held), moved)
        slope = gradient(energy, z)
        return z, momentum - half * (slope + self.slope(z)(momentum)), slope

    def _fixed(self, equation: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
        for _ in range(self.iterations):
            value = equation(value)
        return value


class Metric(nn.Module, ABC):
    """forward: features (B, *features) and means of codes (B, latent) of a batch -> its geometry."""

    @abstractmethod
    def forward(self, features: Tensor, means: Tensor) -> Geometry: ...


class Euclidean(Metric):
    """Flat."""

    def forward(self, features: Tensor, means: Tensor) -> Geometry:
        return Flat()


class Centroids(Metric):
    """The metric whose volume is large far from the codes of observations (Chadebec, Mantoux and
    Allassonnière 2020, https://arxiv.org/abs/2010.11518): `KernelGeometry` around the means of the last
    observations of the training, each with M = L L' / centroids, L lower triangular and read off the
    features. (Their sum is not divided: how many they are is in the scale of L here, and steps stay small.)

    In training those of the batch are among them, with their gradients; else they are as training left them.

    centroids: how many. width: of the kernels. least: of G^-1, in all directions, far from all of them.
    iterations: of each implicit equation of a step of dynamics.
    """

    queues = ("centres", "matrices")
    centres: Tensor
    matrices: Tensor

    def __init__(
        self,
        features: Features,
        latent: int,
        centroids: int = 200,
        width: float = 1.5,
        least: float = 0.01,
        iterations: int = 5,
    ) -> None:
        super().__init__()
        if centroids < 1 or iterations < 1 or width <= 0 or least <= 0:
            raise ConfigurationError(
                f"model.structure.metric.centroids={centroids}, iterations={iterations}, width={width}, "
                f"least={least}: choose at least 1 of the former two, and the others above 0"
            )
        read = features if isinstance(features, int) else math.prod(features)
        self.factors = nn.Linear(read, latent * (latent + 1) // 2)
        self.width, self.least, self.iterations = width, least, iterations
        self.register_buffer("centres", torch.zeros(centroids, latent))
        self.register_buffer("matrices", torch.zeros(centroids, latent, latent))

    def forward(self, features: Tensor, means: Tensor) -> Geometry:
        centres, matrices = self.centres, self.matrices
        if self.training:
            count = len(centres)
            centres = torch.cat([means, centres])[:count]
            matrices = torch.cat([self._matrices(features), matrices])[:count]
            with torch.no_grad():
                self.centres.copy_(centres)
                self.matrices.copy_(matrices)
        return KernelGeometry(centres, matrices, self.width, self.least, self.iterations)

    def _matrices(self, features: Tensor) -> Tensor:
        size = self.centres.shape[1]
        numbers = self.factors(features.flatten(1)).to(self.matrices.dtype)
        with in_float32(numbers.device):
            lower = numbers.new_zeros(len(numbers), size, size)
            rows, columns = torch.tril_indices(size, size, device=numbers.device)
            lower[:, rows, columns] = numbers
            positive = nn.functional.softplus(lower.diagonal(dim1=1, dim2=2))
            lower = lower.tril(-1) + positive.diag_embed()
            return lower @ lower.mT / len(self.centres)


def gradient(energy: Energy, z: Tensor) -> Tensor:
    """d energy / dz, which can be differentiated again while training, and is also there under no_grad."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        at = z if z.requires_grad else z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(energy(at).sum(), at, create_graph=again)
    return slope


def _root(inverse: Tensor) -> Tensor:
    """Its Cholesky factor; no numbers where a training that diverged has left none, which ends it."""
    factor, wrong = torch.linalg.cholesky_ex(inverse)
    return factor.where((wrong == 0)[..., None, None], torch.nan)


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors[..., None])[..., 0]


def _log_diagonal(factor: Tensor) -> Tensor:
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
