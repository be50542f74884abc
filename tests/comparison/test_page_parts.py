"""Curves, numbers and pictures of a page."""

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from comparison_examples import comparison, group, picture
from PIL import Image

from aelab.comparison.base import MetricSummary
from aelab.comparison.number_format import mean_and_deviation
from aelab.comparison.page import gallery as gallery_module
from aelab.comparison.page.bands import band
from aelab.comparison.page.filters import duration, estimate, interval, number, p_value, spread, standing
from aelab.comparison.page.gallery import common_seed, embedded, embedded_sound, gallery
from aelab.comparison.page.render import render
from aelab.figures.wav import wav


def test_a_band_is_mean_least_and_most_over_the_steps_that_all_reached():
    found = band([[(0, 1.0), (10, 3.0), (20, 5.0)], [(0, 3.0), (10, 1.0)]])
    assert found.steps.tolist() == [0, 10]
    assert (found.mean.tolist(), found.low.tolist(), found.high.tolist()) == ([2, 2], [1, 1], [3, 3])


def test_between_its_steps_a_curve_is_straight():
    found = band([[(0, 0.0), (10, 10.0)], [(0, 0.0), (4, 4.0), (10, 10.0)]])
    assert found.mean.tolist() == found.high.tolist() == [0, 4, 10]


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    found = band([[(step, float(step)) for step in range(5000)]], points=200)
    assert len(found.steps) == 200
    assert found.steps[[0, -1]].tolist() == [0, 4999]
    assert np.array_equal(found.steps, found.mean)


def test_infinite_values_are_passed_over_and_curves_without_common_steps_have_no_band():
    assert band([[(0, 1.0), (1, float("nan")), (2, 3.0)]]).mean.tolist() == [1, 3]
    assert band([[(0, float("inf"))]]) is None
    assert band([[(0, 1.0), (1, 1.0)], [(5, 1.0), (6, 1.0)]]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1081345, "1,081,345"),
        (0.0375972, "0.0376"),
        (-112.4915, "−112.5"),
        (0, "0"),
        (6.123e11, "6.12e+11"),
        (-3e-7, "−3.00e-7".replace("e-7", "e-07")),
        (1500, "1,500"),
    ],
)
def test_a_number_has_four_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("mean", "deviation", "text"),
    [
        (-112.4915, 0.2134, "−112.49 ± 0.21"),
        (0.0375972, 0.0003, "0.03760 ± 0.00030"),
        (12345.6, 123.4, "12,346 ± 123"),
        (-12345.6, 0.0996, "−12,345.60 ± 0.10"),
        (0.5, 1e-9, "0.5 ± 1.0e-09"),
        (16.0, 0.0, "16 ± 0"),
        (-16.0, None, "−16"),
        (12345.6, None, "12,346"),
    ],
)
def test_an_estimate_ends_where_its_deviation_does(mean, deviation, text):
    summary = MetricSummary((mean,), mean, deviation)
    assert estimate(summary) == text
    assert mean_and_deviation(summary) == text.replace("−", "-").replace(",", "")


def test_standing_names_only_what_is_known():
    assert standing(MetricSummary((1.0,), 1.0, rank=2.5, p=0.03), 3) == "rank 2.5 · p = 0.03 · 1 of 3 seeds"
    assert standing(MetricSummary((1.0,), 1.0), 1) == ""
    assert p_value(1e-5) == "p < 0.001"
    assert interval(MetricSummary((1.0,), 1.0)) == ""
    assert interval(MetricSummary((1.0,), 1.0, 0.5, (0.7512, 1.25))) == "[0.75, 1.25]"


def test_ranges_and_durations():
    assert (spread([]), spread([5, 5]), spread([5, 7])) == ("–", "5", "5 – 7")
    assert (duration([]), duration([30.0]), duration([300.0, 360.0]), duration([7200.0])) == (
        "–",
        "30 s",
        "5 – 6 min",
        "2 h",
    )


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))


def test_a_grey_picture_stays_as_it_is(tmp_path):
    file = picture(tmp_path / "a.png")
    content, width, height = embedded(file, tmp_path)
    assert (width, height) == (60, 30)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), np.asarray(Image.open(file)))


def test_a_wide_picture_is_made_narrower(tmp_path):
    content, width, height = embedded(picture(tmp_path / "a.png", (2400, 100), colour=True), tmp_path)
    assert (width, height) == Image.open(io.BytesIO(content)).size == (1200, 50)


def test_a_file_that_is_no_picture_of_this_run_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    outside = picture(tmp_path / "outside.png")
    folder.mkdir()
    (folder / "link.png").symlink_to(outside)
    (folder / "text.png").write_text("<script>alert(1)</script>")
    (folder / "cut.png").write_bytes(outside.read_bytes()[:200])
    Image.new("RGB", (4, 4)).save(folder / "photo.jpg")
    os.mkfifo(folder / "pipe.png")
    assert (
        embedded(folder / "link.png", folder) == embedded(outside, folder) == "lies outside its run's folder"
    )
    assert embedded(folder / ".." / "outside.png", folder) == "lies outside its run's folder"
    assert embedded(folder / "pipe.png", folder) == embedded(folder / "none.png", folder) == "is not there"
    for name in ("text.png", "cut.png", "photo.jpg"):
        assert "is not a PNG" in embedded(folder / name, folder)
    monkeypatch.setattr(gallery_module, "MOST_PIXELS", 1000)
    assert "million pixels" in embedded(picture(folder / "large.png"), folder)


def test_pictures_are_of_the_seed_that_most_groups_share(tmp_path):
    groups = [group("a", 0, tmp_path, seeds=1), group("b", 1, tmp_path, seeds=2), group("c", 2, tmp_path)]
    assert common_seed(groups) == 0
    assert common_seed(groups[1:2]) == 0
    assert common_seed([]) is None
    found = gallery(groups)
    assert list(found.kinds) == ["reconstructions", "samples"]
    assert [p.group for p in found.kinds["samples"]] == ["a", "b", "c"]
    assert not found.left_out
    assert decoded(found.kinds["samples"][0].uri).size == (60, 30)


def test_what_does_not_fit_is_named(tmp_path):
    groups = comparison(tmp_path, ["a", "b"]).groups
    first = gallery(groups).kinds["reconstructions"][0]
    found = gallery(groups, budget=len(first.uri) + 10)
    assert [p.group for p in found.kinds["reconstructions"]] == ["a"]
    assert found.left_out == [
        f"{who}: the page would grow too large" for who in ("b, reconstructions", "a, samples", "b, samples")
    ]


def test_a_group_without_the_common_seed_is_named(tmp_path):
    groups = [group("a", 0, tmp_path), group("b", 1, tmp_path, seeds=0)]
    assert gallery(groups).left_out == ["b: no finished run of seed 0"]


def test_no_pictures_no_gallery(tmp_path):
    assert gallery([group("a", 0, Path(tmp_path), seeds=0)]).kinds == {}


def test_a_sound_beside_a_picture_is_played_from_the_page(tmp_path):
    groups = comparison(tmp_path, ["a", "b"]).groups
    run = groups[0].runs[0]
    sound = run.pictures["samples"].with_suffix(".wav")
    sound.write_bytes(wav(b"1234", 8000) + b"<script>")
    found = gallery(groups)
    heard, silent = found.kinds["samples"]
    assert base64.b64decode(heard.sound.removeprefix("data:audio/wav;base64,")) == wav(b"1234", 8000)
    assert silent.sound == ""
    page = render(comparison(tmp_path, ["a", "b"]))
    assert f'<audio controls preload="none" src="{heard.sound}">' in page
    assert page.count("<audio") == 1
    assert "media-src data:;" in page


def test_a_sound_that_cannot_be_read_is_left_out_and_the_page_made(tmp_path, monkeypatch):
    groups = comparison(tmp_path, ["a", "b"]).groups
    groups[0].runs[0].pictures["samples"].with_suffix(".wav").write_bytes(wav(b"1234", 8000))

    def refused(path):
        raise PermissionError(f"{path} is another's")

    monkeypatch.setattr("pathlib.Path.read_bytes", refused)
    found = gallery(groups)
    assert len(found.kinds["samples"]) == 1
    assert "its sound cannot be played" in found.left_out[0]


def test_a_sound_that_is_none_of_this_run_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    outside = tmp_path / "outside.wav"
    outside.write_bytes(wav(b"1234", 8000))
    (folder / "link.wav").symlink_to(outside)
    (folder / "text.wav").write_text("<script>alert(1)</script>")
    (folder / "cut.wav").write_bytes(outside.read_bytes()[:30])
    os.mkfifo(folder / "pipe.wav")
    assert embedded_sound(folder / "none.wav", folder) is None
    whys = {
        "link": "its run's folder",
        "pipe": "its run's folder",
        "text": "no whole WAV",
        "cut": "no whole WAV",
    }
    for name, why in whys.items():
        with pytest.raises(ValueError, match=why):
            embedded_sound(folder / f"{name}.wav", folder)
    monkeypatch.setattr(gallery_module, "LARGEST_SOUND", 40)
    (folder / "long.wav").write_bytes(outside.read_bytes())
    with pytest.raises(ValueError, match="larger than"):
        embedded_sound(folder / "long.wav", folder)
