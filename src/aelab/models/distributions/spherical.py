"""Distributions on the unit sphere: von Mises-Fisher and the uniform one (Davidson et al. 2018)."""

import math
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributions import Distribution, register_kl

from aelab.models.distributions.base import ONE, Shape

NODES = 64  # of the quadrature by which samples depend on the concentration
TINY = 1e-290  # below it doubles lose digits


class SphereUniform(Distribution):
    """The uniform distribution on the sphere in `latent` dimensions. zeros: (latent,).

    >>> SphereUniform(torch.zeros(3)).log_prob(torch.tensor([0.0, 0.0, 1.0]))  # -log 4 pi
    tensor(-2.5310)
    """

    has_rsample = True
    space = "sphere"
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, zeros: Tensor) -> None:
        self.zeros = zeros
        super().__init__(ONE, zeros.shape, validate_args=False)

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        noise = torch.randn(*sample_shape, *self.zeros.shape, device=self.zeros.device)
        return F.normalize(noise, dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.full(value.shape[:-1], -log_area(value.shape[-1]), device=value.device)


class VonMisesFisher(Distribution):
    """The von Mises-Fisher distribution, of density proportional to exp(concentration * direction . z) on the
    unit sphere (Davidson et al. 2018, https://arxiv.org/abs/1804.00891).

    direction: (B, latent), of length 1. concentration: (B,), above 0.

    Samples are exact, by the rejection of Wood (1994); their gradient with respect to the concentration is
    exact too, as an implicit function of the angle's cumulative distribution (Figurnov et al. 2018,
    https://arxiv.org/abs/1805.08498), where
    the rejection alone would leave a correction out.

    >>> q = VonMisesFisher(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([1.0]))
    >>> q.mean  # coth 1 - 1 along the direction
    tensor([[0.0000, 0.0000, 0.3130]])
    """

    has_rsample = True
    space = "sphere"
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, direction: Tensor, concentration: Tensor) -> None:
        self.direction, self.concentration = direction, concentration
        super().__init__(direction.shape[:-1], direction.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        size = mean_length(self.concentration, self.direction.shape[-1])
        return size[..., None] * self.direction

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        latent = self.direction.shape[-1]
        angle = _Angle.apply(self.concentration.expand(*sample_shape, *self.batch_shape), latent)[..., None]
        noise = torch.randn(*angle.shape[:-1], latent, device=angle.device)
        tangent = noise - (noise * self.direction).sum(-1, keepdim=True) * self.direction
        return angle.cos() * self.direction + angle.sin() * F.normalize(tangent, dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        aligned = (value * self.direction).sum(-1)
        return self.concentration * aligned - _LogNormaliser.apply(self.concentration, value.shape[-1])


@register_kl(VonMisesFisher, SphereUniform)
def _kl_to_uniform(q: VonMisesFisher, p: SphereUniform) -> Tensor:
    latent, kappa = q.direction.shape[-1], q.concentration
    return kappa * mean_length(kappa, latent) - _LogNormaliser.apply(kappa, latent) + log_area(latent)


def log_area(latent: int) -> float:
    """The logarithm of the area of the unit sphere in `latent` dimensions.

    >>> log_area(2) - math.log(2 * math.pi)
    0.0
    """
    return math.log(2) + 0.5 * latent * math.log(math.pi) - math.lgamma(0.5 * latent)


def mean_length(concentration: Tensor, latent: int) -> Tensor:
    """The length of the mean, E[direction . z]: the ratio of Bessel functions I_{d/2} / I_{d/2 - 1}.

    >>> mean_length(torch.tensor([1.0]), latent=3)  # coth 1 - 1
    tensor([0.3130])
    """
    return _MeanLength.apply(concentration, latent)


class _LogNormaliser(torch.autograd.Function):
    """log of the integral of exp(concentration * direction . z) over the sphere; its slope: `mean_length`."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, latent: int) -> Tensor:
        kappa = _double(concentration)
        order = 0.5 * latent - 1
        value = _log_bessel(order, kappa) - order * np.log(kappa) + 0.5 * latent * math.log(2 * math.pi)
        ctx.slope = _as(_ratio(latent, kappa), concentration)
        return _as(value, concentration)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.slope, None


class _MeanLength(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, concentration: Tensor, latent: int) -> Tensor:
        kappa = _double(concentration)
        ratio = _ratio(latent, kappa)
        ctx.slope = _as(1 - ratio * (ratio + (latent - 1) / kappa), concentration)
        return _as(ratio, concentration)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.slope, None


class _Angle(torch.autograd.Function):
    """The angle between a sample and the direction, with density exp(k cos t) sin(t)^(d - 2)."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, latent: int) -> Tensor:
        angle = _draw_angle(concentration.double(), latent)
        ctx.save_for_backward(concentration, angle)
        ctx.latent = latent
        return angle.to(concentration.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        concentration, angle = ctx.saved_tensors
        slope = _slope(concentration.double(), angle, ctx.latent)
        return gradient * slope.to(gradient.dtype), None


def _draw_angle(kappa: Tensor, latent: int) -> Tensor:
    """Wood's rejection, until every element has accepted: two or three rounds."""
    d = latent - 1
    b = d / (2 * kappa + (4 * kappa.square() + d**2).sqrt())
    x0 = (1 - b) / (1 + b)
    c = kappa * x0 + d * torch.log1p(-x0.square())
    cosine, waiting = torch.zeros_like(kappa), torch.ones_like(kappa, dtype=torch.bool)
    shape = torch.full((2, *kappa.shape), 0.5 * d, dtype=kappa.dtype, device=kappa.device)
    while waiting.any():
        left, right = torch._standard_gamma(shape)
        e = left / (left + right)
        w = (1 - (1 + b) * e) / (1 - (1 - b) * e)
        accept = kappa * w + d * torch.log1p(-x0 * w) - c >= torch.rand_like(kappa).log()
        cosine = torch.where(waiting & accept, w, cosine)
        waiting = waiting & ~accept
    return cosine.clamp(-1, 1).acos()


def _slope(kappa: Tensor, angle: Tensor, latent: int) -> Tensor:
    """d angle / d kappa at a fixed value of the cumulative distribution F: -(dF/dk) / density.

    dF/dk is the integral of (cos s - E cos) times the density, from 0 to the angle, or minus that from the
    angle to pi, whichever side the density falls off.
    """
    nodes, weights = _gauss_legendre()
    nodes, weights = nodes.to(kappa.device), weights.to(kappa.device)
    mean = mean_length(kappa, latent)[..., None]
    kappa, angle = kappa[..., None], angle[..., None].clamp(1e-6, math.pi - 1e-6)
    beyond = angle.cos() < mean
    end = torch.where(beyond, math.pi, 0.0)
    s = end + (angle - end) * nodes
    # Relative to the density at the angle, in logarithms: it under- or overflows by itself.
    log_ratio = kappa * (s.cos() - angle.cos()) + (latent - 2) * (s.sin().log() - angle.sin().log())
    integral = ((s.cos() - mean) * log_ratio.exp() * weights).sum(-1) * (angle - end)[..., 0]
    return -integral


@cache
def _gauss_legendre() -> tuple[Tensor, Tensor]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)


def _double(value: Tensor) -> np.ndarray:
    return value.detach().cpu().double().numpy()


def _as(value: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def _log_bessel(order: float, kappa: np.ndarray) -> np.ndarray:
    """log I_order(kappa), by scipy's scaled function, and by a hypergeometric one where that underflows."""
    from scipy.special import gammaln, hyp0f1, ive

    scaled = ive(order, kappa)
    lost = scaled <= TINY
    value = np.log(np.maximum(scaled, TINY)) + kappa
    if not lost.any():
        return value
    small = np.where(lost, kappa, 1.0)
    series = order * np.log(small / 2) - gammaln(order + 1) + np.log(hyp0f1(order + 1, small**2 / 4))
    return np.where(lost, series, value)


def _ratio(latent: int, kappa: np.ndarray) -> np.ndarray:
    from scipy.special import ive

    above, below = ive(0.5 * latent, kappa), ive(0.5 * latent - 1, kappa)
    # Not through logarithms where that is possible: the slope of the ratio is what cancels in it.
    logs = _log_bessel(0.5 * latent, kappa) - _log_bessel(0.5 * latent - 1, kappa)
    return np.where(above > TINY, above / np.maximum(below, TINY), np.exp(logs))


def spherical(a: Tensor, b: Tensor, way: Tensor) -> Tensor:
    """The codes between a and b (D,) along the arc that keeps the norm where both have it, (K, D) (White
    2016, https://arxiv.org/abs/1609.04468).

    way: (K, 1) from 0 to 1.

    >>> spherical(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([[0.5]]))
    tensor([[0.7071, 0.7071]])
    """
    cosine = torch.dot(F.normalize(a, dim=0), F.normalize(b, dim=0))
    angle = torch.arccos(cosine.clamp(-1, 1))
    if angle.sin() < 1e-4:
        return torch.lerp(a, b, way)
    return (((1 - way) * angle).sin() * a + (way * angle).sin() * b) / angle.sin()
