"""The spectra of a wave as a reconstruction term: a loss, and no likelihood."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Scheduled
from aelab.core.sound import spectrum
from aelab.models import Autoencoder
from aelab.models.evidence import required_posterior
from aelab.objectives.base import Term

QUIETEST = 1e-4  # the magnitude below which differences are no louder: 80 dB below a sine of amplitude 1


class SpectralDistance(Term):
    """How far the spectra of a wave and of the mean of p(x|z,c) are apart, on average over windows of several
    sizes: the spectral convergence, and the mean absolute difference of the logarithms of magnitudes
    (Yamamoto, Song and Kim 2020, https://arxiv.org/abs/1910.11480).

    It is about 1 where nothing is alike, so its weight is a wave's distortion in nats there.

    windows: their sizes, in samples; each is moved by a quarter.
    """

    def __init__(self, weight: Scheduled = 1.0, windows: Sequence[int] = (64, 128, 256, 512)) -> None:
        super().__init__(weight)
        if not windows or min(windows) < 4:
            raise ConfigurationError(f"windows={list(windows)}: sizes of 4 samples or more are needed")
        self.windows = tuple(windows)

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "a reconstruction")
        made, true = trace.likelihood.mean, trace.x
        if true.dim() != 3 or true.shape[-1] <= max(self.windows) // 2:
            raise ConfigurationError(
                f"spectra are of waves longer than half of windows={list(self.windows)}, and observations "
                f"are {list(true.shape[1:])}: choose view=waveform, or another objective"
            )
        return torch.stack([_distance(true, made, size) for size in self.windows]).mean()


def _distance(true: Tensor, made: Tensor, size: int) -> Tensor:
    """Of waves (B, C, T) and as many made by each of S codes, (S, B, C, T)."""
    a, b = (_magnitude(x, size) for x in (true, made))
    off, whole = (torch.linalg.vector_norm(each, dim=(-2, -1)) for each in (a - b, a))
    return (off / whole).mean() + (a.log() - b.log()).abs().mean()


def _magnitude(x: Tensor, size: int) -> Tensor:
    found = torch.view_as_real(spectrum(x, size, size // 4)).square().sum(-1)
    return found.clamp_min(QUIETEST**2).sqrt()
