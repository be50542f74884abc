"""Tones drawn from known factors: no network, no files."""

import numpy as np
import torch

from aelab.core.checks import at_least
from aelab.data.splits import Observations, Splits, checksum, cut
from aelab.data.views import View

LOWEST, OCTAVES, HARMONICS = 110.0, 2.0, 4  # of a pitch in Hz, of all pitches, and of a tone
CLASSES, FACTORS = 3, 4


class Tones:
    """Tones of four harmonics that are steady (label 0), or rise (1) or fall (2) by up to an octave, swell
    and fade, the same in all runs.

    attributes, each in [0, 1]: the pitch in the middle, from 110 to 440 Hz; the glide, 0.5 for none; the
    brightness, from a sine to harmonics that are all as strong; and the loudness, over 20 dB.

    view: what of them is kept. count: of all tones. test: how many of them, or which share, are the test
    split.
    """

    def __init__(self, view: View, count: int = 4000, test: int | float = 500) -> None:
        at_least(2, count=count)
        self.view, self.count, self.test = view, count, test

    def prepare(self) -> None:
        """Nothing to do: they are drawn."""

    def load(self) -> Splits:
        """Draw them."""
        # numpy freezes RandomState's stream for all versions, which neither torch nor default_rng promises.
        random = np.random.RandomState(0)
        labels, factors = (
            random.randint(CLASSES, size=self.count),
            random.random_sample((self.count, FACTORS)),
        )
        factors[:, 1] = 0.5 + np.array([0, 0.5, -0.5])[labels] * (0.2 + 0.8 * factors[:, 1])
        sounds = np.concatenate(
            [tones(part, self.view) for part in np.array_split(factors, 1 + self.count // 500)]
        )
        every = Observations(
            self.view.of(torch.from_numpy(sounds)),
            torch.from_numpy(labels.astype(np.int64)),
            torch.from_numpy(factors.astype(np.float32)),
        )
        size = cut(self.test, self.count, "data.source.test", f"{self.count:,} tones")
        train, test = torch.arange(self.count).split([self.count - size, size])
        # The factors stand for the sounds, of which the last bit is the machine's.
        return Splits(
            every.take(train), every.take(test), {"factors": checksum(factors.astype("<f8").tobytes())}
        )


def tones(factors: np.ndarray, view: View) -> np.ndarray:
    """The tones (N, T) of factors (N, 4), float32."""
    pitch, glide, bright, loud = factors.T[:, :, None]
    time = np.linspace(-1, 1, view.length)
    hertz = LOWEST * 2 ** (OCTAVES * pitch + (glide - 0.5) * time)
    phase = 2 * np.pi * np.cumsum(hertz, 1) / view.rate
    wave = sum(bright ** (k - 1) * np.sin(k * phase) for k in range(1, HARMONICS + 1))
    strength = sum(bright ** (k - 1) for k in range(1, HARMONICS + 1))
    return (10 ** (loud - 1) * np.cos(np.pi * time / 2) ** 0.5 * wave / strength).astype(np.float32)
