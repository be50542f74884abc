"""Sounds, as waves or as their spectra."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.files import safe_names
from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.core.sound import si_sdr
from aelab.core.text import printable
from aelab.data.kinds.base import BLOCK, MSE, Bounds, Kind
from aelab.data.recordings import Noted, decoded, filled, recordings, said, written
from aelab.data.views import View, Waveform
from aelab.figures.grids import grid
from aelab.figures.sounds import first_sounds, pictures_of_sounds, track
from aelab.figures.wav import with_sound

LOG_MEL = Quantity("log_mel_distance", "dB", False)
CONVERGENCE = Quantity("spectral_convergence", "share of the spectrum", False)
SI_SDR = Quantity("si_sdr", "dB", True)


class Waves(Kind):
    """Sounds of one rate and length, stored as float32 in the form of a view.

    view: what of a sound an observation holds.
    """

    noun, nouns = "sound", "sounds"
    stored = torch.float32
    suited = "values=plain"
    learns_features = False
    audible = True
    suffixes = frozenset({".wav", ".flac"})

    def __init__(self, view: View) -> None:
        self.view, self.is_wave = view, isinstance(view, Waveform)
        self.quantities = (LOG_MEL, MSE, CONVERGENCE, *([SI_SDR] if self.is_wave else []))

    def check(self, shape: tuple[int, ...], bounds: Bounds) -> None:
        if shape != self.view.shape:
            raise ConfigurationError(
                f"data.shape={list(shape)}, and a sound as data.kind.view has it is {list(self.view.shape)}: "
                "leave it out"
            )
        if bounds is None or tuple(bounds) != self.view.bounds:
            raise ConfigurationError(
                f"data.bounds={bounds}, and values of data.kind.view lie in {list(self.view.bounds)}: leave "
                "it out"
            )

    def measure(self, trace: Trace) -> dict[str, Tensor]:
        """As `compared` of what comes back, the mean over codes."""
        return self.compared(trace.x, self.back(trace.likelihood).mean(0))

    def compared(self, x: Tensor, back: Tensor) -> dict[str, Tensor]:
        """The errors of sounds (N, *shape) beside the true ones, by quantity: (N,) float64.

        log_mel_distance: between the levels of mel bands, in dB, on average over bands and frames. mse: for
        each value. spectral_convergence: the norm of the difference of two magnitudes over that of the true
        one. si_sdr: of waves alone, as `core.sound.si_sdr`.
        """
        true, made = (self.view.power(each).double().sqrt() for each in (x, back))
        levels = (self.view.levels(x) - self.view.levels(back)).double().abs().mean((1, 2))
        found = {
            "log_mel_distance": -self.view.floor * levels,
            "mse": self.differences(x, back) / x[0].numel(),
            "spectral_convergence": _norm(true - made) / _norm(true).clamp_min(1e-8),
        }
        return found | ({"si_sdr": si_sdr(x[:, 0], back[:, 0])} if self.is_wave else {})

    def sounding(self, picture: Image.Image, rows: Sequence[Tensor]) -> Image.Image:
        """With the first of the sounds, column by column."""
        first = first_sounds(rows, self.view.length / self.view.rate).cpu()
        return with_sound(picture, lambda: track(self.view.sounds(first), self.view.rate))

    def drawn(self, rows: Sequence[Tensor], captions: Sequence[str]) -> Image.Image:
        """Spectra in mel bands, time to the right and pitch upwards, the louder the darker; below waves."""
        waves = (row[:, 0] if self.is_wave else None for row in rows)
        drawn = map(pictures_of_sounds, map(self.view.levels, rows), waves)
        return grid(list(drawn), captions)

    def parse(self, given: Any, shape: tuple[int, ...], resize: bool = False) -> Tensor:
        """Sounds (N, T) or (T,) in [-1, 1] of the rate and length of the view, or what it makes of them,
        (N, *shape)."""
        try:
            found = torch.as_tensor(np.asarray(given), dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"sounds are numbers, [N, {self.view.length}], and these are not ({error})"
            ) from error
        found = found[None] if found.dim() == 1 else found
        fits = tuple(found.shape[1:]) in (shape, (self.view.length,))
        if not fits or not len(found):
            raise DataError(
                f"the sounds are {list(found.shape)}, and the model takes [N, {self.view.length}] at "
                f"{self.view.rate:,} Hz, or [N, {', '.join(map(str, shape))}] as it sees them"
            )
        if not bool(found.isfinite().all()):
            raise DataError("the sounds hold NaN or infinite numbers: leave these out")
        return found if tuple(found.shape[1:]) == shape else self.view.of(found)

    def example(self, count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        return self.view.of(0.1 * torch.randn(count, self.view.length, generator=generator).clamp(-1, 1))

    def read(
        self, place: str, shape: tuple[int, ...], resize: bool = False
    ) -> tuple[list[str], Iterator[Tensor]]:
        """All recordings in a file, a folder or an archive, filled with silence (with `resize` cut) to the
        model's length; warnings say what was resampled, or averaged over channels."""
        notes: Noted = defaultdict(list)
        names, sounds = [], []
        for name, content in recordings(place):
            sound = decoded(name, content, self.view.rate, notes)
            if len(sound) > self.view.length and not resize:
                raise too_long(name, len(sound), self.view, "resize=true")
            names.append(printable(name))
            sounds.append(filled(sound, self.view.length))
        for note in said(notes):
            print(f"warning: {note}", file=sys.stderr)
        blocks = torch.from_numpy(np.stack(sounds)).split(BLOCK)
        return names, (self.view.of(block) for block in blocks)

    def write(
        self, folder: Path, blocks: Iterable[Tensor], names: Iterable[str], reserved: Iterable[str] = ()
    ) -> None:
        """A .wav file for each, the phases made up where the view has none."""
        files = iter(safe_names((str(Path(name).with_suffix("")) for name in names), ".wav", reserved))
        for block in blocks:
            for sound in self.view.sounds(block).numpy():
                written(folder / next(files), sound, self.view.rate)


def too_long(name: str, samples: int, view: View, cure: str) -> DataError:
    """The error of a recording that is longer than sounds may be."""
    return DataError(
        f"{printable(name)} lasts {samples / view.rate:.2f} s, and sounds {view.length / view.rate:g} s "
        f"(data.kind.view.seconds): {cure} would cut it"
    )


def _norm(values: Tensor) -> Tensor:
    return values.square().sum((1, 2)).sqrt()
