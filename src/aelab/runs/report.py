"""What a run prints when it ends."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from aelab.core.terminal import console, from_here, result
from aelab.runs.folder import RunFolder

RESULT = ("status", "seed", "parameters", "steps", "samples_seen", "seconds", "metrics")  # of a record


def report(folder: RunFolder, hints: Sequence[str]) -> None:
    """The table of test metrics, the run's folder, its pictures, and what the trackers suggest."""
    table = Table("test metric", "value", "unit", title=folder.path.parent.name)
    table.columns[1].justify = "right"
    record = folder.read()
    for name, value in record["metrics"].items():
        unit = record["quantities"].get(name, {}).get("unit", "")
        table.add_row(name.removeprefix("test/"), f"{value:.5g}", unit)
    result(run=str(folder.path), **{key: record.get(key) for key in RESULT})
    pictures = [path for path in folder.pictures.glob("*.png") if not path.name.startswith("epoch_")]
    print_table(table, folder, pictures, hints)


def print_table(
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
