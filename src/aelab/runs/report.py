"""What a run prints when it ends."""

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf
from rich.table import Table

from aelab.config.trusted import check_parts
from aelab.core.errors import RunError
from aelab.core.quantity import ARROWS, short
from aelab.core.terminal import console, from_here, result, table_of
from aelab.core.text import listed, printable, sizes
from aelab.runs.build import Parts
from aelab.runs.folder import Run, RunFolder

RESULT = ("status", "seed", "parameters", "steps", "samples_seen", "seconds", "metrics")  # of a record


def introduce(run: Run, parts: Parts) -> None:
    """What is about to be trained, on what, and where it will lie."""
    data, record = parts.data, run.folder.read()
    counts = ", ".join(f"{count:,} {split}" for split, count in data.counts.items())
    threads = record["threads"]
    device = f"{run.settings.trainer.accelerator}, {threads} thread{'s' * (threads > 1)}"
    out = console()
    classes = [f"{name} {count:,}" for name, count in data.class_counts.items()]
    of = f" in {len(classes)} classes: {listed(classes, 12)}" if classes else ""
    out.print(f"data      {data.name}: {counts} {data.kind.nouns} of {sizes(data.shape)}{of}")
    if data.notes:
        out.print(f"files     {'; '.join(data.notes)}")
    for why in filter(None, (unsuited(parts), _unlisted(run))):
        print(f"warning: {why}", file=sys.stderr)
    out.print(f"model     {record['parameters']:,} parameters on {device}")
    out.print(f"run       {from_here(run.folder.path)}")


def _unlisted(run: Run) -> str | None:
    """Why the run's folder will be refused, which is data, though this command line may name any part."""
    try:
        check_parts(OmegaConf.to_container(run.settings), run.folder.config)
    except RunError as error:
        return f"without that this run cannot be continued, loaded or evaluated: {error}"
    return None


def unsuited(parts: Parts) -> str | None:
    """Why the likelihood is not one of the data's values, though it trains on them, and what is one."""
    data, channels = parts.data, parts.data.shape[0]
    in_colour = len(data.shape) == 3 and channels > 1 and not data.values.binary
    if not (in_colour and parts.training.model.likelihood.binary):
        return None
    fit = "discretized_logistic_mixture" if channels == 3 else "gaussian"
    return (
        f"likelihood=bernoulli is of black and white, and {data.name} has {channels} channels of 256 levels, "
        f"of which it is no probability: likelihood={fit} is one"
    )


def report(folder: RunFolder, hints: Sequence[str]) -> None:
    """The table of test metrics, the run's folder, its pictures, and what the trackers suggest."""
    table = table_of("test metric", "value", "unit", title=folder.path.parent.name)
    table.columns[1].justify = "right"
    record = folder.read()
    for name, value in record.get("metrics", {}).items():
        facts = record.get("quantities", {}).get(name, {})
        arrow = ARROWS[facts.get("higher_is_better")]
        table.add_row(
            printable(name).removeprefix("test/") + arrow,
            "nan" if value is None else f"{value:.5g}",
            printable(short(facts.get("unit", ""))),
        )
    result(run=str(folder.path), **{key: record.get(key) for key in RESULT})
    print_table(table, folder, last_pictures(folder), hints)


def last_pictures(folder: RunFolder) -> list[Path]:
    """A run's pictures but for those of single epochs, by name."""
    return sorted(path for path in folder.pictures.glob("*.png") if not path.name.startswith("epoch_"))


def print_table(
    table: Table, folder: RunFolder, pictures: Sequence[Path], hints: Sequence[str], lines: Sequence[str] = ()
) -> None:
    """A table, the lines below it, the run's folder, that of its pictures, and what the trackers suggest."""
    out = console()
    out.print(table)
    for line in lines:
        out.print(line)
    out.print(f"run       {from_here(folder.path)}")
    for place in sorted({picture.parent for picture in pictures}):
        names = sorted(picture.stem for picture in pictures if picture.parent == place)
        out.print(f"pictures  {from_here(place)}: {listed(names, 6)}")
    for hint in hints:
        out.out(f"tracker   {hint}", highlight=False)
