"""A comparison as the rows of three sheets, for spreadsheets and trackers, and as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from aelab.comparison.base import Comparison, Group, RunSummary
from aelab.comparison.fairness import flops
from aelab.core.text import printable

Row = Sequence[Any]
BUDGET = ("parameters", "steps", "samples_seen", "flops", "seconds", "hardware", "commit", "data")


def metrics_sheet(comparison: Comparison) -> Iterator[Row]:
    """The sheet of metrics: a head, and a row for each group and metric; None in empty cells."""
    yield (
        "group", "metric", "unit", "higher_is_better", "seeds", "mean", "standard_deviation",
        "interval_low", "interval_high", "rank", "p_against_baseline", "best", "lost", "baseline", "note",
    )  # fmt: skip
    for group in comparison.groups:
        for metric in comparison.metrics:
            if (found := group.summaries.get(metric.name)) is not None:
                low, high = found.interval or (None, None)
                yield (
                    group.name, metric.name, metric.unit, metric.higher_is_better, len(found.values),
                    found.mean, found.deviation, low, high, found.rank, found.p, found.best,
                    found.lost, group.name == comparison.baseline, found.note,
                )  # fmt: skip


def groups_sheet(comparison: Comparison) -> Iterator[Row]:
    """The sheet of groups: a head, and a row for each with its runs, budget, and differing settings."""
    keys = list(dict.fromkeys(key for group in comparison.groups for key in group.differing))
    yield ("group", "finished", "failed", *BUDGET, *keys)
    for group in comparison.groups:
        yield (
            group.name,
            len(group.runs),
            len(group.failed),
            *(_joined(getattr(group.budget, fact)) for fact in BUDGET),
            *(_setting(group.differing.get(key)) for key in keys),
        )


def runs_sheet(comparison: Comparison) -> Iterator[Row]:
    """The sheet of runs: a head, and a row for each, failed ones with errors, and for skipped folders."""
    names = sorted({name for group in comparison.groups for run in group.runs for name in run.values})
    head = ("group", "name", "seed", "fold", "status", "error", "path", "steps", "samples_seen", "flops")
    yield (*head, *names)
    for group in comparison.groups:
        for run in (*group.runs, *group.failed):
            yield _run(group, run, names)
    for path, reason in comparison.skipped.items():
        yield (None, None, None, None, "skipped", reason, path, *[None] * (3 + len(names)))


def _run(group: Group, run: RunSummary, names: Sequence[str]) -> Row:
    spent = (run.record.get("steps"), run.record.get("samples_seen"), flops(run))
    values = (run.values.get(name) for name in names)
    return (group.name, run.name, *run.repeat, run.status, run.error, str(run.path), *spent, *values)


def csv_text(rows: Iterator[Row]) -> str:
    """The rows as CSV (RFC 4180, https://www.rfc-editor.org/rfc/rfc4180), free of spreadsheet formulas."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([_inert(cell) for cell in row] for row in rows)
    return file.getvalue()


def uniform(rows: Sequence[Row]) -> list[list[Any]]:
    """The rows with one type in each column: text where some cells of the column are text."""
    columns = list(zip(*rows, strict=True))
    wordy = [any(isinstance(cell, str) for cell in column) for column in columns]
    return [
        [str(cell) if words and cell is not None else cell for cell, words in zip(row, wordy, strict=True)]
        for row in rows
    ]


def _inert(cell: Any) -> Any:
    """Numbers as they are; text on one line, after an apostrophe where a formula could begin."""
    if cell is None or isinstance(cell, bool | int | float):
        return cell
    line = printable(cell)
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def _joined(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else "; ".join(map(str, values))


def _setting(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | None) else str(value)
