"""What an evaluation prints."""

from collections.abc import Sequence

from rich.table import Table

from aelab.core.terminal import result
from aelab.evaluation.findings import Findings
from aelab.metrics.estimate import Estimate
from aelab.runs.folder import RunFolder
from aelab.runs.report import print_table


def report_evaluation(folder: RunFolder, suite: str, findings: Findings, hints: Sequence[str]) -> None:
    """The table of estimates, what is missing in it and why, alarms, and where all of it lies."""
    table = Table("estimate", "value", "±", "unit", "of", title=f"{folder.path.parent.name}, {suite}")
    table.columns[0].no_wrap = True
    for column in (1, 2, 4):
        table.columns[column].justify = "right"
    for name, found in findings.estimates.items():
        table.add_row(
            name, f"{found.value:.5g}", _uncertainty(found), found.quantity.unit, f"{found.count:,}"
        )
    missing = {**findings.undefined, **findings.left_out}
    lines = [f"alarm     {name}: {why}" for name, why in findings.alarms.items()]
    reasons = {why: [name for name, other in missing.items() if other == why] for why in missing.values()}
    lines += [f"without   {', '.join(names)}: {why}" for why, names in reasons.items()]
    result(run=str(folder.path), suite=suite, **findings.record())
    print_table(table, folder, findings.figures, hints, lines)


def _uncertainty(found: Estimate) -> str:
    """The standard error, or the interval."""
    if found.error is not None:
        return f"{found.error:.2g}"
    return "" if found.interval is None else "{:.4g} to {:.4g}".format(*found.interval)
