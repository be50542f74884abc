"""The page as text: complete, escaped, and closed to the outside."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from comparison_examples import comparison, with_failure

from aelab.comparison.base import Comparison
from aelab.comparison.page.chart_data import curve_names, page_data, plane, sweep
from aelab.comparison.page.render import cards, families, render
from aelab.core.quantity import Quantity

HOSTILE = (
    '</script><script>alert("out")</script>',
    "<img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(2)' x=\"",
    "../../etc/passwd\nsecond line",
    "{{ 7 * 7 }}{% raw %}",
    "<!--<script>",
    "javascript:alert(3)",
    "bytes \udcff and \u2028 and \x00",
)


class Parsed(HTMLParser):
    """Tags with their attributes, and the text of those that hold no other."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append((self.tags[-1][0] if self.tags else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self):
        return "".join(text for tag, text in self.texts if tag not in ("script", "style"))


def hostile(folder: Path) -> Comparison:
    """Every text that a run can bring along is hostile."""
    found = with_failure(comparison(folder, list(HOSTILE)), HOSTILE[0])
    bad = HOSTILE[0]
    groups = tuple(
        replace(
            group,
            differing={bad: bad, "beta": group.differing["beta"], "list": [bad]},
            budget=replace(group.budget, hardware=(bad,), commit=(bad,), data=(bad, HOSTILE[1])),
            runs=tuple(
                replace(
                    run,
                    name=bad,
                    status=bad,
                    curves={bad: run.curves["val/elbo"]},
                    pictures={bad: run.pictures["samples"]},
                )
                for run in group.runs
            ),
        )
        for group in found.groups
    )
    metrics = (*found.metrics, Quantity(bad, bad, True))
    return replace(
        found, groups=groups, metrics=metrics, flags=HOSTILE, skipped={bad: bad, HOSTILE[1]: HOSTILE[2]}
    )


@pytest.fixture(scope="module")
def benign(tmp_path_factory):
    return with_failure(
        comparison(tmp_path_factory.mktemp("benign"), ["first", "second", "third"]), "loss is NaN"
    )


def data_of(text):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    )


def test_all_that_a_reader_needs_is_on_the_page(benign):
    words = Parsed(render(benign)).words
    for needed in (
        "3 configurations, 9 runs",
        "baseline",
        "flagged",
        "/some/folder",
        "no record.json",
        "loss is NaN",
        "+1 failed",
    ):
        assert needed in words
    for group in benign.groups:
        assert group.name in words
        assert f"{1000 * (benign.groups.index(group) + 1):,}" in words
    assert "p = 0.04" in words


def test_only_what_is_significant_is_marked(benign):
    assert not [a for a in Parsed(render(benign)).all("td") if a.get("class") == "best"]
    first = benign.groups[0]
    summaries = {**first.summaries, "test/elbo": replace(first.summaries["test/elbo"], best=True)}
    marked = replace(benign, groups=(replace(first, summaries=summaries), *benign.groups[1:]))
    assert len([a for a in Parsed(render(marked)).all("td") if a.get("class") == "best"]) == 1


def test_a_hostile_name_stays_a_text(tmp_path):
    mild, wild = (
        Parsed(render(comparison(tmp_path / "mild", ["a"] * len(HOSTILE)))),
        Parsed(render(hostile(tmp_path / "wild"))),
    )
    assert len(wild.all("script")) == len(mild.all("script")) == 5
    assert {tag for tag, _ in wild.tags} <= {tag for tag, _ in mild.tags} | {"strong", "details", "summary"}
    assert not [name for _, attributes in wild.tags for name in attributes if name.startswith("on")]
    assert not [a for a in wild.all("a") if not a["href"].startswith("#")]
    assert HOSTILE[0] in wild.words
    assert "{{ 7 * 7 }}" in wild.words


def test_data_cannot_end_their_script(tmp_path):
    text = render(hostile(tmp_path))
    assert [group["name"] for group in data_of(text)["groups"]] == list(HOSTILE)
    block = text.split('id="data">')[1].split("</script>")[0]
    assert "<" not in block


def test_the_page_is_text_that_can_be_written(tmp_path):
    render(hostile(tmp_path)).encode()


def test_the_page_asks_nobody_for_anything(benign):
    parsed = Parsed(render(benign))
    assert not parsed.all("link") + parsed.all("iframe") + parsed.all("base")
    assert all("src" not in attributes for attributes in parsed.all("script"))
    assert all(a["src"].startswith("data:image/png;base64,") for a in parsed.all("img") if "src" in a)
    assert all("style" not in attributes for _, attributes in parsed.tags)
    assert not re.search(r"url\((?!#)", render(benign))


def test_the_policy_allows_exactly_the_page_s_own_scripts_and_style(benign):
    text = render(benign)
    allowed = next(a["content"] for a in Parsed(text).all("meta") if a.get("http-equiv"))
    assert "default-src 'none'" in allowed
    assert "unsafe" not in allowed
    parts = re.findall(r"<script>(.*?)</script>|<style>(.*?)</style>", text, re.DOTALL)
    digests = {base64.b64encode(hashlib.sha256("".join(p).encode()).digest()).decode() for p in parts}
    assert set(re.findall(r"'sha256-(.*?)'", allowed)) == digests


def test_a_comparison_of_nothing_is_a_page():
    assert "0 configurations, 0 runs" in render(Comparison((), (), ""))


def test_metrics_are_told_apart_by_family_and_leaders_have_a_better_side(benign):
    assert {name: len(found) for name, found in families(benign.metrics).items()} == {
        "test": 3,
        "quick/generation": 1,
    }
    found = {card.metric.name: card.group for card in cards(benign)}
    assert found == {"test/elbo": "third", "test/distortion": "first", "quick/generation/frechet": "first"}


def test_the_plane_needs_both_measurements_but_no_compared_metric(benign):
    assert plane(benign.groups) == ("test/kl", "test/distortion")
    found = page_data(replace(benign, metrics=benign.metrics[:1]))
    assert found["groups"][1]["plane"] == [[11, 21], [11.1, 21.1], [11.2, 21.2]]
    group = benign.groups[0]
    half = [replace(run, values={"test/kl": 1.0}) for run in group.runs]
    assert plane([replace(group, runs=tuple(half))]) is None
    suite = {f"quick/likelihood/{name}": 1.0 for name in ("kl", "distortion")}
    assert plane([replace(group, runs=(replace(half[0], values=suite),))]) == tuple(suite)


def test_data_of_charts_are_those_of_the_comparison(benign):
    found = page_data(benign)["groups"][1]
    assert found["seeds"] == [0, 1, 2]
    assert found["values"]["test/elbo"]["seeds"] == [1, 1.1, 1.2]
    assert found["cost"] == {
        "seconds": 11,
        "flops": 1e9,
        "parameters": 2000,
        "steps": 500,
        "samples_seen": 64000,
    }
    steps, mean, low, high = found["curves"]["val/elbo"]
    assert len(steps) == 50
    assert (low[-1], mean[-1], high[-1]) == (-1, 0, 1)
    assert curve_names(benign.groups) == ["val/elbo"]


def test_a_sweep_has_settings_and_few_groups_no_importance(benign, tmp_path):
    assert sweep(benign)["names"] == ["beta", "network"]
    assert sweep(benign)["importance"] == {}
    many = sweep(comparison(tmp_path, [f"g{i}" for i in range(9)]))
    assert many["importance"]["test/elbo"]["bars"][0][0] == "beta"
    assert sweep(replace(benign, groups=benign.groups[:1])) is None
