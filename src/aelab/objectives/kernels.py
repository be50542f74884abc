"""Kernels for the maximum mean discrepancy: (N, D), (M, D) -> (N, M), sums over several widths."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(N, D), (M, D) -> (N, M), without the cancellation of the expanded square."""
    return (x[:, None] - y[None]).square().sum(-1)


@dataclass(frozen=True)
class InverseMultiquadric:
    """C / (C + |x - y|^2) with C = 2 scale D: D the latent size, so that scale 1 fits N(0, I) (Tolstikhin et
    al. 2018)."""

    scales: Sequence[float] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        distances, unit = squared_distances(x, y), 2 * x.shape[-1]
        return sum(
            (unit * scale / (unit * scale + distances) for scale in self.scales),
            start=distances.new_zeros(()),
        )


@dataclass(frozen=True)
class RBF:
    """exp(-|x - y|^2 / C) with C = 2 scale D: Gaussian kernels (Zhao, Song and Ermon 2019)."""

    scales: Sequence[float] = (1.0,)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        distances, unit = squared_distances(x, y), 2 * x.shape[-1]
        return sum(
            ((-distances / (unit * scale)).exp() for scale in self.scales), start=distances.new_zeros(())
        )
