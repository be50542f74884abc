"""What a run prints when it ends."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from aelab.evaluation.findings import Findings
from aelab.metrics.estimate import Estimate
from aelab.metrics.units import UNITS
from aelab.runs.folder import RunFolder
from aelab.runs.terminal import console, from_here


def report(folder: RunFolder, hints: Sequence[str]) -> None:
    """The table of test metrics, the run's folder, its pictures, and what the trackers suggest."""
    table = Table("test metric", "value", "unit", title=folder.path.parent.name)
    table.columns[1].justify = "right"
    for name, value in folder.read()["metrics"].items():
        short = name.removeprefix("test/")
        table.add_row(short, f"{value:.5g}", UNITS.get(short, ""))
    pictures = [path for path in folder.pictures.glob("*.png") if not path.name.startswith("epoch_")]
    _print(table, folder, pictures, hints)


def report_evaluation(folder: RunFolder, suite: str, findings: Findings, hints: Sequence[str]) -> None:
    """The table of estimates, what is missing in it and why, alarms, and where all of it lies."""
    table = Table("estimate", "value", "±", "unit", "of", title=f"{folder.path.parent.name}, {suite}")
    table.columns[0].no_wrap = True
    for column in (1, 2, 4):
        table.columns[column].justify = "right"
    for name, found in findings.estimates.items():
        table.add_row(name, f"{found.value:.5g}", _uncertainty(found), found.unit, f"{found.count:,}")
    missing = {**findings.undefined, **findings.left_out}
    lines = [f"alarm     {name}: {why}" for name, why in findings.alarms.items()]
    reasons = {why: [name for name, other in missing.items() if other == why] for why in missing.values()}
    lines += [f"without   {', '.join(names)}: {why}" for why, names in reasons.items()]
    _print(table, folder, findings.figures, hints, lines)


def _uncertainty(found: Estimate) -> str:
    """The standard error, or the interval."""
    if found.error is not None:
        return f"{found.error:.2g}"
    return "" if found.interval is None else "{:.4g} to {:.4g}".format(*found.interval)


def _print(
    table: Table, folder: RunFolder, pictures: Sequence[Path], hints: Sequence[str], lines: Sequence[str] = ()
) -> None:
    out = console()
    out.print(table)
    for line in lines:
        out.print(line)
    out.print(f"run       {from_here(folder.path)}")
    for picture in sorted(pictures):
        out.print(f"picture   {from_here(picture)}")
    for hint in hints:
        out.print(f"tracker   {hint}")
