"""Penalties on how fast codes follow observations, and observations codes."""

from collections.abc import Callable

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Scheduled
from aelab.models import Autoencoder
from aelab.models.evidence import required_posterior
from aelab.objectives.base import Term


class JacobianPenalty(Term):
    """The squared Frobenius norm of a Jacobian, averaged over the batch.

    probes: random directions by which it is estimated without bias, one pass backwards for each (Hutchinson
    1990, https://doi.org/10.1080/03610919008812866); None: it is exact, at one pass for each output.
    """

    def __init__(self, weight: Scheduled = 1.0, probes: int | None = None) -> None:
        super().__init__(weight)
        if probes is not None and probes < 1:
            raise ConfigurationError(f"probes={probes}: at least 1, or null for the exact Jacobian")
        self.probes = probes


class Contractive(JacobianPenalty):
    """|dz/dx|^2 of the mean code at what the encoder saw (Rifai et al. 2011,
    https://icml.cc/2011/papers/455_icmlpaper.pdf)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "the encoder's Jacobian")
        return squared_jacobian(
            lambda x: model.posterior_of(x, trace.context).mean, trace.corrupted, self.probes
        ).mean()


class DecoderGradient(JacobianPenalty):
    """|dE[x|z]/dz|^2 of the decoded mean at the codes (RAE-GP, Ghosh et al. 2020,
    https://arxiv.org/abs/1903.12436)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "the decoder's Jacobian")
        return squared_jacobian(
            lambda z: model.decode(z[None], trace.context).mean[0], trace.z[0], self.probes
        ).mean()


def squared_jacobian(function: Callable[[Tensor], Tensor], x: Tensor, probes: int | None = None) -> Tensor:
    """|d function / dx|^2, summed over the entries of each observation's Jacobian: (B,).

    function: x (B, *in) -> (B, *out), of which no row depends on another one's. probes: as in
    `JacobianPenalty`. Differentiable where gradients are on, and the same where they are off.

    >>> squared_jacobian(lambda x: 3 * x, torch.zeros(2, 4))
    tensor([36., 36.])
    """
    trained = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        # A clone, also since the hooks that count floating-point operations take no leaf without a graph.
        at = x if trained and x.requires_grad else x.detach().clone().requires_grad_()
        y = function(at.clone() if at.is_leaf else at).flatten(1)
        directions = _directions(y, probes)
        sides = [torch.autograd.grad(y, at, side, True, trained)[0] for side in directions]
    squared = torch.stack([side.flatten(1).square().sum(1) for side in sides]).sum(0)
    return squared if probes is None else squared / probes


def _directions(y: Tensor, probes: int | None) -> list[Tensor]:
    """Vectors (B, out): each output alone, or so many random signs."""
    if probes is not None:
        return [torch.randint_like(y, 2) * 2 - 1 for _ in range(probes)]
    return [one.expand_as(y) for one in torch.eye(y.shape[1], device=y.device, dtype=y.dtype)]
