"""Sounds in every view: their errors, files and refusals."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.records import Batch, Trace
from aelab.data.kinds import Waves
from aelab.data.views import LogMel, Magnitude, Waveform
from aelab.figures.wav import frames_of, save, sound_of
from aelab.models.distributions import Gaussian, PointMass

soundfile = pytest.importorskip("soundfile")
RATE, LENGTH = 8000, 2000
KINDS = {each: Waves(each(seconds=0.25)) for each in (Waveform, Magnitude, LogMel)}
every = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: type(kind.view).__name__)
LOG_MEL = KINDS[LogMel]


def tones(*hertz, gain=0.3):
    time = torch.arange(LENGTH) / RATE
    return torch.stack([gain * torch.sin(2 * math.pi * each * time) for each in hertz])


def errors(kind, x, back):
    x, back = kind.view.of(x), kind.view.of(back)
    shown = Gaussian(back[None], torch.zeros(()), x.dim() - 1)
    return kind.errors(Trace(Batch(x), x, None, PointMass(x.flatten(1)), None, x[None], lambda: shown))


@every
def test_errors_are_those_of_the_view_and_vanish_for_the_sound_itself(kind):
    x = tones(300, 800)
    found = errors(kind, x, x)
    assert set(found) == {quantity.name for quantity in kind.quantities}
    assert ("si_sdr" in found) == isinstance(kind.view, Waveform)
    assert all(values.shape == (2,) and values.dtype == torch.float64 for values in found.values())
    both = torch.stack([found["log_mel_distance"], found["spectral_convergence"]])
    assert_close(both, torch.zeros(2, 2).double(), rtol=0, atol=1e-6)
    kind.check(kind.view.shape, kind.view.bounds)
    assert kind.example(3, kind.view.shape, torch.Generator().manual_seed(0)).shape == (3, *kind.view.shape)


@every
def test_half_the_amplitude_is_half_the_spectrum_and_six_decibels(kind):
    x = 0.2 * torch.randn(2, LENGTH, generator=torch.Generator().manual_seed(0)).clamp(-5, 5)
    found = errors(kind, x, x / 2)
    assert_close(found["spectral_convergence"], torch.full((2,), 0.5).double(), rtol=0, atol=1e-3)
    assert_close(found["log_mel_distance"], torch.full((2,), 20 * math.log10(2)).double(), rtol=0, atol=0.01)


@every
def test_what_is_written_sounds_as_what_was_there(kind, tmp_path):
    x = kind.view.of(tones(300, 800, 1500))
    kind.write(tmp_path, iter(x.split(2)), ["b.wav", "../a", "b"], reserved=["b.wav"])
    names, blocks = kind.read(str(tmp_path), kind.view.shape)
    assert len(names) == 3
    back = torch.cat(list(blocks))
    place = {name: kind.view.levels(one[None])[0] for name, one in zip(names, back, strict=True)}
    first = min(place.values(), key=lambda levels: float((levels - kind.view.levels(x)[1]).abs().mean()))
    assert torch.equal(first, place["a.wav"])
    assert (first - kind.view.levels(x)[1]).abs().mean() < 0.05


@every
def test_sounds_are_taken_as_they_are_or_as_the_model_sees_them(kind):
    x = tones(300, 800)
    seen = kind.parse(x.numpy(), kind.view.shape)
    assert torch.equal(seen, kind.view.of(x))
    assert torch.equal(kind.parse(seen, kind.view.shape), seen)
    assert kind.parse(x[0].tolist(), kind.view.shape).shape == (1, *kind.view.shape)
    for wrong in (x[:, :9], x[:0], x * float("nan"), ["a"]):
        with pytest.raises(DataError):
            kind.parse(wrong, kind.view.shape)


@every
def test_a_picture_shows_every_sound(kind):
    x = kind.view.of(tones(300, 800))
    one, other = kind.picture([x, x], ["in", "out"]), kind.picture([x, x.flip(0)], ["in", "out"])
    assert one.size == other.size
    assert one.tobytes() != other.tobytes()


def test_pitch_is_upwards_and_loudness_is_dark():
    low, high = (
        np.asarray(LOG_MEL.picture([LOG_MEL.view.of(tones(hertz))], [""]).convert("L"))
        for hertz in (200, 3000)
    )
    assert high.mean(1).argmin() < low.mean(1).argmin()


def test_other_rates_and_channels_are_brought_to_the_models_own_and_said(tmp_path, capsys):
    time = np.arange(8820) / 44100  # 0.2 s
    stereo = 0.3 * np.stack([np.sin(2 * np.pi * 800 * time), np.zeros_like(time)], 1)
    soundfile.write(tmp_path / "a.wav", stereo, 44100)
    _, blocks = KINDS[Waveform].read(str(tmp_path), (1, LENGTH))
    (found,) = next(blocks)[:, 0]
    expected = 0.15 * torch.sin(2 * math.pi * 800 * torch.arange(1600) / RATE)
    assert_close(found[100:1500], expected[100:1500], rtol=0, atol=2e-3)
    assert not found[1600:].any()
    said = capsys.readouterr().err
    assert "resampled from 44,100 to 8,000 Hz: 1 recordings (a.wav)" in said
    assert "averaged over 2 channels" in said


def test_what_is_too_long_is_refused_or_cut(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(3000), RATE)
    with pytest.raises(
        DataError, match=r"long\.wav lasts 0\.38 s, and sounds 0\.25 s .* resize=true would cut it"
    ):
        LOG_MEL.read(str(tmp_path), LOG_MEL.view.shape)
    assert len(next(LOG_MEL.read(str(tmp_path), LOG_MEL.view.shape, resize=True)[1])) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", r"bad\.wav cannot be read as sound"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt broken", r"bad\.wav cannot be read as sound"),
        (b"no sound at all", r"bad\.wav cannot be read as sound"),
        (None, r"bad\.wav holds no samples"),
    ],
)
def test_files_that_are_no_sounds_are_named(tmp_path, content, why):
    path = tmp_path / "bad.wav"
    if content is None:
        soundfile.write(path, np.zeros(0), RATE)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=why) as refusal:
        LOG_MEL.read(str(tmp_path), LOG_MEL.view.shape)
    assert len(str(refusal.value).splitlines()) == 1


def test_places_without_recordings_are_refused(tmp_path):
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "readme.txt").write_text("nothing")
    for place, why in {
        "": "no recordings are there",
        "broken.zip": "cannot be read",
        "none": "no recordings",
    }.items():
        with pytest.raises(DataError, match=why):
            LOG_MEL.read(str(tmp_path / place), LOG_MEL.view.shape)


def test_shapes_bounds_and_views_that_no_sound_has_are_refused():
    with pytest.raises(ConfigurationError, match=r"data\.shape=\[1, 40\]"):
        LOG_MEL.check((1, 40), (0, 1))
    with pytest.raises(ConfigurationError, match=r"data\.bounds=None"):
        LOG_MEL.check(LOG_MEL.view.shape, None)
    for wrong in ({"hop": 0}, {"hop": 200}, {"seconds": 0.01}, {"bands": 65}, {"floor": 0}, {"rate": 0}):
        with pytest.raises(ConfigurationError, match=r"data\.kind\.view"):
            LogMel(**wrong)


@every
def test_a_picture_is_heard_column_by_column(kind, tmp_path):
    x, back = kind.view.of(tones(300, 800, 500)), kind.view.of(tones(310, 790, 510))
    picture = kind.picture([x, back], ["input", "output"], 2)
    (path,) = save(picture, tmp_path / "reconstructions.png")
    assert path == tmp_path / "reconstructions.wav"
    heard, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    each = torch.from_numpy(heard).view(6, LENGTH + round(0.15 * RATE))
    assert not each[:, LENGTH:].any()
    loudest = torch.fft.rfft(each[:, :LENGTH]).abs().argmax(1) * RATE / LENGTH
    assert (loudest - torch.tensor([300, 310, 800, 790, 500, 510])).abs().max() < 40
    if kind.is_wave:
        assert (each[::2, :LENGTH] - x[:, 0]).abs().max() < 1 / 32767


def test_a_sound_is_made_where_it_is_kept_and_of_observations(monkeypatch, tmp_path):
    kind, x = KINDS[Waveform], KINDS[Waveform].view.of(tones(300))
    made = []
    monkeypatch.setattr(kind.view, "sounds", lambda x: made.append(len(x)) or x[:, 0])
    picture = kind.picture([x, x], ["output", "deviation"], heard=[x])
    picture.save(tmp_path / "map.png")
    assert made == []
    save(picture, tmp_path / "kept.png")
    assert sound_of(picture) is not None
    assert made == [1]


def test_a_picture_is_heard_for_a_few_seconds():
    many = KINDS[Waveform].view.of(tones(300).expand(100, -1))
    frames, rate = frames_of(sound_of(KINDS[Waveform].picture([many], [""])))
    assert 7 < len(frames) / 2 / rate <= 8


@every
def test_what_lies_outside_the_bounds_is_heard_as_the_bound(kind):
    x, (low, high) = kind.view.of(tones(300)), kind.view.bounds
    beyond = torch.where(x > 0.5 * (low + high), x + 20, x - 20)
    assert torch.equal(kind.view.sounds(beyond), kind.view.sounds(beyond.clamp(low, high)))
    assert kind.view.sounds(beyond).isfinite().all()
