"""A comparison as one HTML file: no network, nothing beside it, and nothing in it that a run could make run.

The template escapes whatever it shows, the data of the charts are JSON without a "<", and the page forbids
itself every script and style but its own, which it names by their digests.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from aelab.comparison.base import Comparison, Group, MetricSummary
from aelab.comparison.page import filters
from aelab.comparison.page.chart_data import page_data
from aelab.comparison.page.gallery import gallery
from aelab.core.quantity import Quantity

SCRIPTS = ("drawing.js", "plots.js", "sweep.js", "page.js")
CARDS, CARDS_OF_A_FAMILY = 6, 2


@dataclass(frozen=True)
class LeaderCard:
    """The group that leads by one metric, with its statistics."""

    metric: Quantity
    group: str
    summary: MetricSummary


def render(comparison: Comparison) -> str:
    """The page's text, to be written as UTF-8.

    Pictures that cannot be shown are named on the page, with the reason.
    """
    style, scripts = _part("page.css"), [_part(name) for name in SCRIPTS]
    page = _environment().from_string(_part("page.html.j2"))
    text = page.render(
        comparison=comparison,
        families=families(comparison.metrics),
        cards=cards(comparison),
        gallery=gallery(comparison.groups),
        runs=sum(len(group.runs) for group in comparison.groups),
        failures=[(group, run) for group in comparison.groups for run in group.failed],
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        data=embedded_json(page_data(comparison)),
        policy=policy(style, scripts),
    )
    # A file's name may hold bytes that are no text: they are shown as question marks.
    return text.encode(errors="replace").decode()


def families(metrics: Iterable[Quantity]) -> dict[str, list[Quantity]]:
    """The metrics by all but the last part of their names: a table for each."""
    found: dict[str, list[Quantity]] = {}
    for metric in metrics:
        found.setdefault(metric.name.rpartition("/")[0] or "other", []).append(metric)
    return found


def cards(comparison: Comparison) -> list[LeaderCard]:
    """The leaders by a few metrics of each family, of those that have a direction."""
    chosen = [
        metric
        for family in families(comparison.metrics).values()
        for metric in [m for m in family if m.higher_is_better is not None][:CARDS_OF_A_FAMILY]
    ]
    found = (_leader(metric, comparison.groups) for metric in chosen)
    return [card for card in found if card][:CARDS]


def embedded_json(value: Any) -> Markup:
    """A value as JSON without "<", so that no text in it can end the script by "</script>" or "<!--"."""
    return Markup(json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"))


def policy(style: str, scripts: Iterable[str]) -> str:
    """The Content-Security-Policy: these texts, pictures and sounds within the page, and nothing else."""
    allowed = " ".join(map(_digest, scripts))
    return (
        f"default-src 'none'; img-src data:; media-src data:; style-src {_digest(style)}; "
        f"script-src {allowed}; base-uri 'none'; form-action 'none'"
    )


def _leader(metric: Quantity, groups: Iterable[Group]) -> LeaderCard | None:
    sign = 1 if metric.higher_is_better else -1
    known = [(g.summaries[metric.name], g.name) for g in groups if metric.name in g.summaries]
    if len(known) < 2:
        return None
    summary, name = max(known, key=lambda pair: sign * pair[0].mean)
    return LeaderCard(metric, name, summary)


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("number", "estimate", "interval", "standing", "spread", "duration"):
        environment.filters[name] = getattr(filters, name)
    return environment


def _part(name: str) -> str:
    return (files("aelab.comparison.page") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
