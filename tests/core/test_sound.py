"""Spectra against closed forms and their own inverse."""

import math

import pytest
import torch
from torch.testing import assert_close

from aelab.core.sound import Spectra, griffin_lim, mel, si_sdr, sound, spectrum

RATE, SIZE, HOP = 8000, 256, 64
TIME = torch.arange(4000) / RATE
SINE = torch.sin(2 * math.pi * 1000 * TIME)[None]  # 32 periods in a window: one bin
SPECTRA = Spectra(RATE, SIZE, HOP, 40, -80.0)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_way_back_from_a_spectrum_is_exact():
    x = noise(3, 4000)
    assert_close(sound(spectrum(x, SIZE, HOP), SIZE, HOP, 4000), x, rtol=0, atol=1e-5)


def test_a_sine_of_amplitude_one_has_a_magnitude_of_one_and_the_highest_level():
    found = spectrum(SINE, SIZE, HOP).abs()[0, :, 10:50]
    assert found.argmax(0).unique().tolist() == [32]
    assert_close(found[32], torch.ones(40), rtol=0, atol=1e-4)
    levels = SPECTRA.level(SPECTRA.power(torch.cat([SINE, SINE / 10])))[:, 32, 10:50]
    assert_close(levels, torch.tensor([[1.0], [1 - 20 / 80]]).expand(2, 40), rtol=0, atol=1e-4)
    assert_close(SPECTRA.level(SPECTRA.power_of(levels)), levels)


def test_bands_share_out_every_bin_between_the_first_middle_and_the_last():
    weights = mel(RATE, SIZE // 2 + 1, 20)
    first, last = weights[0].argmax() + 1, weights[-1].argmax()
    assert_close(weights[:, first:last].sum(0), torch.ones(int(last - first)))
    assert bool((weights >= 0).all())
    assert bool((weights.argmax(1).diff() > 0).all())


def test_bins_are_found_that_have_these_bands():
    bands = SPECTRA.in_bands(SPECTRA.power(noise(2, 4000)))
    back = SPECTRA.in_bands(SPECTRA.in_bins(bands, 300))
    assert ((back - bands).norm() / bands.norm()) < 0.02


def test_phases_are_made_up_that_have_these_magnitudes():
    chirp = torch.sin(2 * math.pi * (300 * TIME + 900 * TIME**2))[None]
    wanted = spectrum(chirp, SIZE, HOP).abs()
    alone, beside = (
        griffin_lim(wanted, SIZE, HOP, 4000),
        griffin_lim(torch.cat([wanted, wanted]), SIZE, HOP, 4000),
    )
    off = [
        float((spectrum(x, SIZE, HOP).abs() - wanted).norm() / wanted.norm())
        for x in (griffin_lim(wanted, SIZE, HOP, 4000, steps=0), alone)
    ]
    assert off[1] < 0.1 < off[0]
    assert_close(beside, alone.expand(2, -1), rtol=0, atol=1e-4)


def test_si_sdr_is_that_of_torchmetrics_whatever_the_scale():
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    true, made = noise(2, 5, 900)
    made = true + 0.3 * made
    expected = scale_invariant_signal_distortion_ratio(made.double(), true.double(), zero_mean=True)
    assert_close(si_sdr(true, made), expected)
    assert_close(si_sdr(true, 0.01 * made + 3), expected, rtol=1e-4, atol=0)
    assert si_sdr(torch.zeros(9), noise(9)).item() == 0
    assert si_sdr(true, true).min() > 100


@pytest.mark.parametrize("gain", [0.5, 0.1])
def test_a_quieter_sound_is_lower_by_its_gain_in_every_band(gain):
    levels = [
        SPECTRA.level(SPECTRA.in_bands(SPECTRA.power(each * noise(1, 4000)))) for each in (0.5, 0.5 * gain)
    ]
    assert_close(
        80 * (levels[0] - levels[1]), torch.full_like(levels[0], -20 * math.log10(gain)), rtol=0, atol=1e-2
    )
