"""The spectral distance of waves: closed forms, and what it is blind to."""

import pytest
import torch

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.models.distributions import Gaussian, PointMass
from aelab.objectives.spectra import SpectralDistance

WAVES = 0.2 * torch.randn(3, 1, 800, generator=torch.Generator().manual_seed(0))


def distance(x, made, **options):
    codes = x.flatten(1)
    shown = Gaussian(made[None], torch.zeros(()), x.dim() - 1)
    trace = Trace(Batch(x), x, None, PointMass(codes), None, codes[None], lambda: shown)
    return SpectralDistance(**options)(trace, None)


def test_it_vanishes_for_the_wave_and_its_mirror_which_sound_alike():
    assert distance(WAVES, WAVES).item() == 0
    assert distance(WAVES, -WAVES).item() == 0
    assert distance(WAVES, 0.9 * WAVES) > 0


@pytest.mark.parametrize("gain", [0.5, 0.8])
def test_of_a_quieter_wave_it_is_known(gain):
    expected = 1 - gain - torch.log(torch.tensor(gain)).item()
    assert distance(WAVES, gain * WAVES, windows=(64, 256)).item() == pytest.approx(expected, rel=1e-3)


def test_its_gradient_is_finite_where_there_is_silence():
    made = torch.zeros(2, 1, 800, requires_grad=True)
    distance(torch.zeros(2, 1, 800), made).backward()
    assert bool(made.grad.isfinite().all())


@pytest.mark.parametrize("shape", [(2, 1, 40, 32), (2, 8), (2, 1, 200)])
def test_what_are_no_waves_is_refused(shape):
    x = torch.rand(shape)
    with pytest.raises(ConfigurationError, match="choose view=waveform"):
        distance(x, x)


def test_windows_are_needed():
    with pytest.raises(ConfigurationError, match=r"windows=\[2\]"):
        SpectralDistance(windows=[2])
