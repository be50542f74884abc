"""Recordings of one's own in folders and archives, and tones from known factors."""

import tarfile
import zipfile

import numpy as np
import pytest
import torch

from aelab.core.errors import ConfigurationError, DataError
from aelab.data.sources.recordings import Recordings
from aelab.data.sources.tones import Tones, tones
from aelab.data.survey import sounds
from aelab.data.views import LogMel, Waveform

soundfile = pytest.importorskip("soundfile")
RATE = 8000
VIEW = Waveform(seconds=0.1)


def place(root, *names, size=800):
    """Files whose samples are all their number over 100."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(size, number / 100), RATE, subtype="FLOAT")
    return root


def numbers(part):
    return (100 * part.x[:, 0, 0]).round().int().tolist()


DIGITS = [
    f"recordings/{digit}_{who}_{take}.wav"
    for digit in range(2)
    for who in ("ann", "bob")
    for take in range(3)
]


@pytest.mark.parametrize(
    ("test_files", "held"), [(r"_[0-1]\.wav$", [0, 1, 3, 4, 6, 7, 9, 10]), ("_bob_", [3, 4, 5, 9, 10, 11])]
)
def test_names_say_the_label_and_the_test_split(tmp_path, test_files, held):
    found = Recordings(place(tmp_path, *DIGITS), VIEW, r"^(\d)_", test_files=test_files).load()
    assert numbers(found.test) == held
    assert sorted([*numbers(found.train), *held]) == list(range(12))
    assert found.test.y.tolist() == [number // 6 for number in held]


def test_folders_are_splits_and_classes_and_archives_are_folders(tmp_path):
    names = [
        "train/cat/a.wav",
        "train/dog/b.flac",
        "Validation/dog/c.wav",
        "test/cat/d.wav",
        "test/.hidden.wav",
    ]
    names.remove("train/dog/b.flac")
    names.insert(1, "train/dog/b.wav")
    root = place(tmp_path / "mine", *names)
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for name in names:
            archive.write(root / name, name)
    with tarfile.open(tmp_path / "mine.tar.xz", "w:xz") as archive:
        archive.add(root, ".")
    for where in (root, tmp_path / "mine.zip", tmp_path / "mine.tar.xz"):
        found = Recordings(where, VIEW).load()
        assert sorted(numbers(found.train)) == [0, 1]
        assert [numbers(part) for part in (found.validation, found.test)] == [[2], [3]]
        assert [int(part.y[0]) for part in (found.validation, found.test)] == [1, 0]


def test_windows_follow_one_another_and_never_share_a_recording_among_splits(tmp_path):
    root = place(tmp_path, *(f"{i}.wav" for i in range(10)), size=800 * 2 + 500)
    found = Recordings(root, VIEW, test=0.2, unit="windows").load()
    assert len(found.train) == 8 * 3
    assert len(found.test) == 2 * 3
    assert not set(numbers(found.train)) & set(numbers(found.test))
    short = Recordings(
        place(tmp_path / "b", "1.wav", "2.wav", size=800 + 300), VIEW, test=1, unit="windows"
    ).load()
    assert len(short.train) == 1


def test_what_is_longer_is_refused_or_cut_and_said(tmp_path):
    root = place(tmp_path, "0.wav", "1.wav", size=900)
    with pytest.raises(DataError, match=r"0\.wav lasts 0\.11 s.*data\.source\.longer=cut would cut it"):
        Recordings(root, VIEW, test=1).load()
    assert Recordings(root, VIEW, test=1, longer="cut").load().notes == [
        "cut to 0.1 s: 2 recordings (0.wav, 1.wav)"
    ]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"unit": "words"}, "recordings or windows"),
        ({"longer": "keep"}, "refuse or cut"),
        ({"label": r"^\d"}, "no regular expression with a group"),
        ({"label": "("}, "no regular expression"),
        ({"label": "_(x+)"}, "has no label"),
        ({"test": None}, "0.1 would work"),
        ({"test": 12}, "leaves a split empty"),
        ({"test_files": "nowhere"}, "0 for the test"),
    ],
)
def test_options_that_fit_no_recordings_are_refused(tmp_path, options, why):
    with pytest.raises((ConfigurationError, DataError), match=why) as refusal:
        Recordings(place(tmp_path, *DIGITS), VIEW, **options).load()
    assert len(str(refusal.value).splitlines()) == 1


def test_a_survey_finds_shape_and_classes(tmp_path):
    view = {"_target_": "aelab.data.views.Waveform", "seconds": 0.1}
    options = {
        "name": "mine",
        "kind": {"view": view},
        "source": {"label": r"_(\w+)_"},
        "root": place(tmp_path, *DIGITS),
    }
    found = sounds(options)
    assert found["shape"] == [1, 800]
    assert (found["classes"], found["class_names"]) == (2, ["ann", "bob"])


def test_tones_have_the_pitch_glide_and_loudness_of_their_factors():
    view = Waveform(seconds=1.0)
    factors = np.array([[0.5, 0.5, 0.0, 1.0], [0.5, 1.0, 0.0, 1.0], [0.5, 0.5, 0.0, 0.5]])
    found = tones(factors, view)
    peaks = [[RATE / 2000 * np.abs(np.fft.rfft(part)).argmax() for part in np.split(one, 4)] for one in found]
    assert peaks[0] == pytest.approx([220] * 4, abs=4)
    assert peaks[1] == pytest.approx([220 * 2 ** (0.5 * t) for t in (-0.75, -0.25, 0.25, 0.75)], rel=0.05)
    assert np.abs(found).max(1)[[0, 2]] == pytest.approx([1, 10**-0.5], abs=0.02)


def test_tones_are_drawn_alike_at_every_call():
    source = Tones(LogMel(seconds=0.2), count=30, test=10)
    one, two = source.load(), source.load()
    assert torch.equal(one.train.x, two.train.x)
    assert one.train.x.shape == (20, 1, 40, 13)
    steady, rising, falling = (one.train.attributes[one.train.y == label, 1] for label in range(3))
    assert bool((steady == 0.5).all())
    assert rising.min() > 0.5 > falling.max()
