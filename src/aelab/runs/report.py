"""What a run prints when it ends."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from aelab.runs.folder import RunFolder

UNITS = {
    "elbo": "nats per image",
    "distortion": "nats per image",
    "kl": "nats per image",
    "bits_per_dim": "bits per pixel",
    "mse": "squared error per pixel",
    "squared_error": "squared error per image",
    "psnr": "dB",
    "nll": "nats per image",
    "nll_standard_error": "nats per image",
    "nll_effective_samples": "codes",
    "active_units": "latent dimensions",
}


def report(folder: RunFolder, hints: Sequence[str]) -> None:
    """The table of test metrics, the run's folder, its pictures, and what the trackers suggest."""
    table = Table("test metric", "value", "unit", title=folder.path.parent.name)
    table.columns[1].justify = "right"
    for name, value in folder.read()["metrics"].items():
        short = name.removeprefix("test/")
        table.add_row(short, f"{value:.5g}", UNITS.get(short, ""))
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    console.print(f"run       {_shown(folder)}")
    for picture in sorted(folder.pictures.glob("*.png")):
        if not picture.name.startswith("epoch_"):
            console.print(f"picture   {_shown(folder)}/pictures/{picture.name}")
    for hint in hints:
        console.print(f"tracker   {hint}")


def _shown(folder: RunFolder) -> str:
    """The path as a user would type it from here."""
    here = Path.cwd()
    return str(folder.path.relative_to(here) if folder.path.is_relative_to(here) else folder.path)
