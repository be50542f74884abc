"""Figures of a comparison as files for a paper."""

import re
import zlib
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from folders import make_run

from aelab.comparison.compare import compare
from aelab.comparison.figures import figure_files
from aelab.core.errors import ConfigurationError

OPTIONS = {"format": ["pdf", "svg", "png"], "width": "column", "serif": False}


@pytest.fixture
def comparison(tmp_path):
    for variant in ("vae", "a_much_longer_name_$_of_a_group"):
        for seed in (0, 1, 2):
            make_run(
                tmp_path / variant / str(seed),
                seed,
                settings={"name": variant},
                metrics={"test/elbo": -90.0 - seed, "test/kl": 20.0 + seed, "test/distortion": 70.0},
            )
    return compare([str(tmp_path)], metric=["test/elbo"])


def test_each_metric_and_the_plane_have_a_figure_in_every_format(comparison):
    files = figure_files(comparison, OPTIONS)
    for name in ("intervals_test_elbo", "rate_distortion"):
        assert files[f"figures/{name}.pdf"].startswith(b"%PDF")
        assert files[f"figures/{name}.png"].startswith(b"\x89PNG")
        words = "".join(ElementTree.fromstring(files[f"figures/{name}.svg"]).itertext())
        assert "a_much_longer_name_$_of_a_group" in words  # letters, not outlines, and no mathematics


def test_a_pdf_is_of_the_width_asked_for_and_embeds_its_fonts_as_truetype(comparison):
    for width, points in (("column", 3.35 * 72), ("page", 6.9 * 72)):
        pdf = figure_files(comparison, {**OPTIONS, "width": width})["figures/intervals_test_elbo.pdf"]
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf)
        assert float(box.group(1)) == pytest.approx(points, abs=0.1)
        streams = b"".join(_unpacked(part) for part in pdf.split(b"stream\n")[1:])
        assert b"/Type3" not in pdf + streams
        assert b"/FontFile2" in pdf + streams


def _unpacked(part):
    try:
        return zlib.decompressobj().decompress(part)
    except zlib.error:
        return b""


def test_the_same_comparison_gives_the_same_bytes_and_leaves_matplotlib_as_it_was(comparison):
    before = dict(mpl.rcParams)
    first, second = (figure_files(comparison, OPTIONS | {"serif": True}) for _ in range(2))
    assert first == second
    assert dict(mpl.rcParams) == before


def test_none_are_made_where_none_are_wanted_and_mistakes_are_named(comparison):
    assert figure_files(comparison, OPTIONS | {"format": None}) == {}
    with pytest.raises(ConfigurationError, match=r"figures\.format=gif: choose of pdf, svg, png"):
        figure_files(comparison, OPTIONS | {"format": "gif"})
    with pytest.raises(ConfigurationError, match=r"figures\.width=wide: choose one of column, page"):
        figure_files(comparison, OPTIONS | {"width": "wide"})
