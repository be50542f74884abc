"""Figures of a comparison as files for a paper."""

import re
import zlib
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from folders import make_run

from aelab.comparison.compare import compare
from aelab.comparison.figures import figure_files
from aelab.comparison.statistics import critical_difference, mean_ranks
from aelab.core.errors import ConfigurationError
from aelab.evaluation.findings import Findings
from aelab.figures.charts import scatter
from aelab.figures.paper import Paper

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
        assert "A much longer name $ of a group" in words  # letters, not outlines, and no mathematics


def test_a_pdf_is_of_the_width_asked_for_and_embeds_its_fonts_as_truetype(comparison):
    for width, points in (("column", 3.35 * 72), ("page", 6.9 * 72)):
        pdf = figure_files(comparison, {**OPTIONS, "width": width})["figures/intervals_test_elbo.pdf"]
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf)
        assert float(box.group(1)) == pytest.approx(points, abs=0.1)
        streams = b"".join(_unpacked(part) for part in pdf.split(b"stream\n")[1:])
        assert b"/Type3" not in pdf + streams
        assert b"/FontFile2" in pdf + streams


def test_a_chart_of_an_evaluation_becomes_one_of_a_paper(tmp_path):
    chart = scatter(np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 10, title="of a run")
    before = np.asarray(chart.picture())
    for width, points in (("column", 3.35 * 72), ("page", 6.9 * 72)):
        pdf = Paper(width=width).saved(chart, "pdf")
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf)
        assert float(box.group(1)) == pytest.approx(points, abs=1)
        assert b"/Type3" not in pdf + b"".join(_unpacked(part) for part in pdf.split(b"stream\n")[1:])
    words = Paper(serif=True).saved(chart, "svg").decode()
    assert "of a run" not in words
    assert "serif" in words.replace("sans-serif", "")
    assert (np.asarray(chart.picture()) == before).all()
    findings = Findings(tmp_path, paper=Paper(["pdf", "svg"]))
    findings.figure("codes", chart)
    assert {path.name for path in tmp_path.iterdir()} == {"codes.png", "codes.pdf", "codes.svg"}
    assert findings.record()["printed"] == ["codes.pdf", "codes.svg"]


def test_mean_ranks_come_with_the_difference_that_counts(tmp_path):
    for place, variant in enumerate(("vae", "ae", "iwae")):
        for seed in range(4):
            metrics = {"test/elbo": -90.0 - place - seed}
            make_run(tmp_path / variant / str(seed), seed, settings={"name": variant}, metrics=metrics)
    files = figure_files(compare([str(tmp_path)], metric=["test/elbo"]), OPTIONS)
    words = "".join(ElementTree.fromstring(files["figures/critical_differences_test_elbo.svg"]).itertext())
    assert "over 4 seeds" in words
    values = {name: dict(enumerate(of)) for name, of in RANKED.items()}
    assert mean_ranks(values | {"one": {0: 9.0}}, True) == ({"a": 1.5, "b": 1.5, "c": 3.0}, 2)
    # q of Demšar's table 5 for three classifiers is 2.343.
    assert critical_difference(3, 10, 0.05) == pytest.approx(2.343 * (12 / 60) ** 0.5, abs=2e-3)


RANKED = {"a": [3.0, 2.0], "b": [2.0, 3.0], "c": [1.0, 1.0]}


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
