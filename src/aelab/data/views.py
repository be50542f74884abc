"""What of a sound an observation holds: the wave itself, or how strong each frequency is at each time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from aelab.core.checks import at_least
from aelab.core.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

    from aelab.core.sound import Spectra


class View(ABC):
    """From sounds (N, T) of one rate to observations (N, *shape), and back.

    It is made of plain numbers, which a run's configuration keeps, and loads torch where it is used.

    rate: samples in a second. seconds: of a sound. window, hop: of its spectra, in samples. bands: of a
    spectrum, on the mel scale. floor: the power in dB, below a sine of amplitude 1, at which levels are 0.
    """

    bounds: ClassVar[tuple[int, int]] = (0, 1)

    def __init__(
        self,
        rate: int = 8000,
        seconds: float = 1.0,
        window: int = 256,
        hop: int = 128,
        bands: int = 40,
        floor: float = -80.0,
    ) -> None:
        at_least(1, **{f"data.kind.view.{name}": value for name, value in (("rate", rate), ("hop", hop))})
        self.rate, self.length, self.window, self.hop = rate, round(rate * seconds), window, hop
        self.bands, self.floor = bands, floor
        if self.length <= window // 2 or window < 2 or not hop <= window // 2 or not floor < 0:
            raise ConfigurationError(
                f"data.kind.view: {self.length} samples, window={window}, hop={hop}, floor={floor}: half a "
                "window is shorter than a sound and no shorter than a hop, and the floor is below 0 dB"
            )
        if not 1 <= bands <= window // 4:
            raise ConfigurationError(
                f"data.kind.view.bands={bands}: a window of {window} samples has 1 to {window // 4}"
            )

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of an observation."""

    @abstractmethod
    def of(self, sounds: Tensor) -> Tensor:
        """Sounds (N, T) in [-1, 1] -> observations (N, *shape)."""

    @abstractmethod
    def sounds(self, x: Tensor) -> Tensor:
        """Observations (N, *shape), cut to their bounds -> sounds (N, T), with phases made up where x has
        none."""

    @abstractmethod
    def power(self, x: Tensor) -> Tensor:
        """Of observations (N, *shape), in the finest parts of a spectrum that they have: (N, parts, T)."""

    def levels(self, x: Tensor) -> Tensor:
        """Of observations (N, *shape), the powers in mel bands as levels from 0 to 1: (N, bands, frames)."""
        return self.spectra.level(self.spectra.in_bands(self.power(x)))

    @cached_property
    def spectra(self) -> Spectra:
        """How sounds are analysed."""
        from aelab.core.sound import Spectra

        return Spectra(self.rate, self.window, self.hop, self.bands, self.floor)

    @property
    def frames(self) -> int:
        """How many spectra there are of a sound."""
        return self.length // self.hop + 1


class Waveform(View):
    """The wave itself, (1, T)."""

    bounds = (-1, 1)

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, self.length)

    def of(self, sounds: Tensor) -> Tensor:
        return sounds[:, None]

    def sounds(self, x: Tensor) -> Tensor:
        return x[:, 0].clamp(*self.bounds)

    def power(self, x: Tensor) -> Tensor:
        return self.spectra.power(x[:, 0])


class Spectral(View, ABC):
    """Levels of the parts of a spectrum, (1, parts, frames)."""

    def power(self, x: Tensor) -> Tensor:
        return self.spectra.power_of(x[:, 0])


class Magnitude(Spectral):
    """The level of each frequency at each time, (1, bins, frames)."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, self.window // 2 + 1, self.frames)

    def of(self, sounds: Tensor) -> Tensor:
        return self.spectra.level(self.spectra.power(sounds))[:, None]

    def sounds(self, x: Tensor) -> Tensor:
        return self.spectra.sound(self.power(x.clamp(*self.bounds)), self.length)


class LogMel(Spectral):
    """The level of each band of the mel scale at each time, (1, bands, frames)."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, self.bands, self.frames)

    def of(self, sounds: Tensor) -> Tensor:
        return self.spectra.level(self.spectra.in_bands(self.spectra.power(sounds)))[:, None]

    def sounds(self, x: Tensor) -> Tensor:
        return self.spectra.sound(self.spectra.in_bins(self.power(x.clamp(*self.bounds))), self.length)

    def levels(self, x: Tensor) -> Tensor:
        return x[:, 0]
