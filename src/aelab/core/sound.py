"""Spectra of sounds, their way back, and how far one sound is from another."""

import math
from functools import cached_property

import torch
from torch import Tensor

EPSILON = 1e-10  # of a power, whose logarithm is taken


def spectrum(sounds: Tensor, size: int, hop: int) -> Tensor:
    """The short-time Fourier transform of sounds (..., T), in which a sine of amplitude 1 has a magnitude of
    1: (..., size // 2 + 1, T // hop + 1), complex.

    size: of the Hann window, in samples. hop: between two of them. T is more than half a window.
    """
    found = torch.stft(
        sounds.flatten(0, -2), size, hop, window=_window(size, sounds), return_complex=True, normalized=False
    )
    return found.unflatten(0, sounds.shape[:-1]) / (size / 4)


def sound(values: Tensor, size: int, hop: int, length: int) -> Tensor:
    """The sounds (N, length) of short-time Fourier transforms (N, bins, frames), or the nearest to them."""
    window = _window(size, values.real)
    return torch.istft(values * (size / 4), size, hop, window=window, length=length)


def griffin_lim(magnitude: Tensor, size: int, hop: int, length: int, steps: int = 60) -> Tensor:
    """Sounds (N, length) whose short-time Fourier transforms have about these magnitudes (N, bins, frames)
    (Griffin and Lim 1984, https://doi.org/10.1109/TASSP.1984.1164317), with the momentum of Perraudin, Balazs
    and Sondergaard 2013 (https://doi.org/10.1109/WASPAA.2013.6701851). The phases at the start are the same
    for every sound and at every call.
    """
    phases = torch.rand(magnitude.shape[1:], generator=torch.Generator().manual_seed(0))
    values = torch.polar(magnitude, (2 * math.pi * phases).to(magnitude).expand_as(magnitude))
    before = torch.zeros_like(values)
    for _ in range(steps):
        consistent = spectrum(sound(values, size, hop, length), size, hop)
        guess = consistent + 0.99 * (consistent - before)
        values, before = magnitude * guess / guess.abs().clamp_min(EPSILON), consistent
    return sound(values, size, hop, length)


def mel(rate: int, bins: int, bands: int) -> Tensor:
    """The weights of the bins of a spectrum in bands that are triangles on the mel scale: (bands, bins).

    rate: samples in a second. The scale is that of Stevens, Volkmann and Newman 1937 as O'Shaughnessy 1987
    wrote it, 2595 log10(1 + f / 700).
    """
    highest = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest, bands + 2, dtype=torch.float64) / 2595) - 1)
    hertz = torch.linspace(0, rate / 2, bins, dtype=torch.float64)
    low, middle, high = (edges[start : start + bands, None] for start in range(3))
    return (
        torch.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)).clamp_min(0).float()
    )


def si_sdr(true: Tensor, made: Tensor) -> Tensor:
    """The scale-invariant signal-to-distortion ratio of sounds (..., T), in dB (Le Roux et al. 2019,
    https://arxiv.org/abs/1811.02508): (...), float64; 0 for a true sound that is silent.

    >>> true = torch.tensor([1.0, -1.0, 1.0, -1.0])
    >>> si_sdr(true, 0.5 * true + torch.tensor([0.1, 0.1, -0.1, -0.1])).item()  # 25 : 1
    13.9794
    """
    true, made = (each.double() - each.double().mean(-1, keepdim=True) for each in (true, made))
    energy = true.square().sum(-1)
    part = (true * made).sum(-1, keepdim=True) / energy.clamp_min(EPSILON)[..., None] * true
    found = part.square().sum(-1).clamp_min(EPSILON) / (made - part).square().sum(-1).clamp_min(EPSILON)
    return torch.where(energy > EPSILON, 10 * found.log10(), 0.0)


class Spectra:
    """Powers of sounds of one rate, in bins and in bands, and as levels from 0 to 1.

    rate: samples in a second. size, hop: of windows, in samples. bands: on the mel scale. floor: the power in
    dB of a level of 0, where a sine of amplitude 1 has 0 dB and a level of 1.
    """

    def __init__(self, rate: int, size: int, hop: int, bands: int, floor: float) -> None:
        self.rate, self.size, self.hop, self.bands, self.floor = rate, size, hop, bands, floor

    @cached_property
    def weights(self) -> Tensor:
        """(bands, bins)."""
        return mel(self.rate, self.size // 2 + 1, self.bands)

    def power(self, sounds: Tensor) -> Tensor:
        """Of sounds (N, T), in bins: (N, bins, frames)."""
        return spectrum(sounds, self.size, self.hop).abs().square()

    def in_bands(self, power: Tensor) -> Tensor:
        """(..., bins, frames) -> (..., bands, frames)."""
        return self.weights.to(power) @ power

    def in_bins(self, power: Tensor, steps: int = 50) -> Tensor:
        """Powers in bins, none below 0, whose bands are about these: (..., bands, frames) -> (..., bins,
        frames), by multiplicative steps (Lee and Seung 2001)."""
        weights = self.weights.to(power)
        wanted = weights.T @ power
        found = wanted / (weights.T @ weights.sum(1, keepdim=True)).clamp_min(EPSILON)
        for _ in range(steps):
            found = found * wanted / (weights.T @ (weights @ found)).clamp_min(EPSILON)
        return found

    def level(self, power: Tensor) -> Tensor:
        """Powers as levels from 0 to 1."""
        return (1 - 10 * power.clamp_min(EPSILON).log10() / self.floor).clamp(0, 1)

    def power_of(self, level: Tensor) -> Tensor:
        """The powers of levels."""
        return 10 ** (self.floor * (1 - level) / 10)

    def sound(self, power: Tensor, length: int) -> Tensor:
        """Sounds (N, length) of about these powers (N, bins, frames)."""
        return griffin_lim(power.sqrt(), self.size, self.hop, length)


def _window(size: int, like: Tensor) -> Tensor:
    return torch.hann_window(size, dtype=like.dtype, device=like.device)
