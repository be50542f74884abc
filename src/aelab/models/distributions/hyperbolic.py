"""The wrapped normal distribution of hyperbolic space, in the coordinates of the Poincaré ball."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.models.distributions.base import ONE, Shape

EDGE = 1 - 1e-5  # the largest length of a code: float32 tells no further points from the boundary


class WrappedNormal(Distribution):
    """A Gaussian of the tangent space at a point, laid on hyperbolic space of curvature -1 (Nagano et al.
    2019, https://arxiv.org/abs/1902.02992; Mathieu et al. 2019, https://arxiv.org/abs/1901.06033).

    loc: (*batch, latent), inside the unit ball. log_variance: of the tangent space, of the same shape. Its
    density is that of the ball's coordinates, not of the hyperbolic volume, as those of other codes are.

    >>> WrappedNormal(torch.zeros(2), torch.zeros(2)).log_prob(torch.zeros(2))  # log 4 - log 2 pi
    tensor(-0.4516)
    """

    has_rsample = True
    space = "ball"
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, loc: Tensor, log_variance: Tensor) -> None:
        self.loc, self.log_variance = loc, log_variance
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The Fréchet mean."""
        return self.loc

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        noise = torch.randn(*sample_shape, *self.loc.shape, device=self.loc.device, dtype=self.loc.dtype)
        return inside(add(self.loc, from_origin((0.5 * self.log_variance).exp() * noise)))

    def log_prob(self, value: Tensor) -> Tensor:
        # In double, as differences of nearby points cancel towards the boundary.
        z, loc, log_variance = value.double(), self.loc.double(), self.log_variance.double()
        tangent = to_origin(add(-loc, z))
        twice = tangent.square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi)
        distance = _length(tangent)[..., 0]
        curved = (z.shape[-1] - 1) * log_sinh_ratio(distance)
        volume = z.shape[-1] * (math.log(2) - torch.log1p(-z.square().sum(-1)))
        return (volume - 0.5 * twice.sum(-1) - curved).to(self.loc.dtype)


def add(x: Tensor, y: Tensor) -> Tensor:
    """Möbius addition of points of the ball, (*batch, latent): y moved by what moves the origin to x.

    >>> add(torch.tensor([0.5, 0.0]), torch.tensor([-0.5, 0.0]))
    tensor([0., 0.])
    """
    inner, xx, yy = ((a * b).sum(-1, keepdim=True) for a, b in ((x, y), (x, x), (y, y)))
    return ((1 + 2 * inner + yy) * x + (1 - xx) * y) / (1 + 2 * inner + xx * yy)


def from_origin(tangent: Tensor) -> Tensor:
    """The exponential map at the origin of tangent vectors whose lengths are hyperbolic distances."""
    length = _length(tangent)
    return (0.5 * length).tanh() * tangent / length


def to_origin(z: Tensor) -> Tensor:
    """The logarithm map at the origin, the inverse of `from_origin`."""
    length = _length(z)
    return 2 * length.atanh() * z / length


def inside(z: Tensor) -> Tensor:
    """Points brought back into the ball where rounding put them on its boundary."""
    return z * (EDGE / _length(z)).clamp(max=1)


def log_sinh_ratio(distance: Tensor) -> Tensor:
    """log(sinh(d) / d), by how much a sphere of radius d is longer than it is on the tangent space.

    >>> log_sinh_ratio(torch.tensor([0.0, 1.0, 100.0]))
    tensor([ 0.0000,  0.1614, 94.7017])
    """
    small = distance < 1e-2
    safe = torch.where(small, 1.0, distance)
    large = safe + torch.log(-torch.expm1(-2 * safe)) - math.log(2) - safe.log()
    return torch.where(small, distance.square() / 6, large)


def _length(z: Tensor) -> Tensor:
    """Lengths (*batch, 1), above 0 so that the gradient at the origin is finite."""
    return (z.square().sum(-1, keepdim=True) + torch.finfo(z.dtype).tiny).sqrt()
