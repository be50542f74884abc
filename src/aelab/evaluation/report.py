"""What an evaluation prints."""

from collections.abc import Sequence

from aelab.core.quantity import ARROWS, short
from aelab.core.terminal import result, table_of
from aelab.evaluation.findings import Findings
from aelab.metrics.estimate import Estimate
from aelab.runs.folder import RunFolder
from aelab.runs.report import print_table


def report_evaluation(
    folder: RunFolder, suite: str, findings: Findings, hints: Sequence[str], table: Sequence[str] | None
) -> None:
    """The table of estimates, what is missing in it and why, alarms, and where all of it lies.

    table: the names of its rows; None: all estimates.
    """
    title = f"{folder.path.parent.name}, {suite}"
    columns = table_of("estimate", "value", "±", "unit", "of", title=title)
    columns.columns[0].no_wrap = columns.columns[1].no_wrap = True
    for column in (1, 2, 4):
        columns.columns[column].justify = "right"
    found = findings.estimates
    shown = list(found) if table is None else [name for name in table if name in found]
    for name in shown:
        columns.add_row(*_row(name, found[name]))
    lines = [f"alarm     {name}: {why}" for name, why in findings.alarms.items()]
    lines += missing(findings)
    if len(shown) < len(found):
        lines.append(f"numbers   {len(found) - len(shown)} more: table=full, and {folder.evaluations.name}")
    result(run=str(folder.path), suite=suite, **findings.record())
    print_table(columns, folder, findings.figures, hints, lines)


def missing(findings: Findings) -> list[str]:
    """A line for each reason why something was not estimated, with all that it holds for."""
    without = {**findings.undefined, **findings.left_out}
    reasons = {why: [name for name, other in without.items() if other == why] for why in without.values()}
    return [f"without   {', '.join(names)}: {why}" for why, names in reasons.items()]


def _row(name: str, found: Estimate) -> tuple[str, ...]:
    quantity = found.quantity
    arrow = ARROWS[quantity.higher_is_better]
    return name + arrow, f"{found.value:.5g}", _uncertainty(found), short(quantity.unit), f"{found.count:,}"


def _uncertainty(found: Estimate) -> str:
    """The standard error, or the interval."""
    if found.error is not None:
        return f"{found.error:.2g}"
    return "" if found.interval is None else "{:.4g} to {:.4g}".format(*found.interval)
