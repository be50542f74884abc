"""A user's observations as a trained model gives them back, and how far off each is."""

import csv
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor

from aelab.core.files import draft
from aelab.data.values import valued
from aelab.runs.trained import load

SHOWN = 64  # pairs in the picture of both
ERRORS, PAIRS = "errors.csv", "pairs.png"


def main(config: DictConfig) -> None:
    """Write the reconstructions that a composed configuration asks for."""
    model = load(config.run, config.device)
    names, blocks = model.kind.read(config.input, model.shape, config.resize)
    errors: list[float] = []
    shown: list[Tensor] = []

    def outputs() -> Iterator[Tensor]:
        for given in blocks:
            x = model.seen(given)
            back = model.reconstruct(given, y=config.label, attributes=config.attributes)
            squared = (valued(back, model.values) - x).double().square()
            errors.extend(squared.flatten(1).sum(1).tolist())
            if not shown:
                shown.extend([given[:SHOWN], back[:SHOWN]])
            yield back

    with draft(config.to, config.overwrite) as folder:
        folder.mkdir()
        model.kind.write(folder, outputs(), names, reserved=[PAIRS])
        model.picture(shown, ["input", "output"], 16).save(folder / PAIRS)
        _write(folder / ERRORS, names, errors)
    print(f"{model.kind.nouns:9} {config.to}")


def _write(path: Path, names: list[str], errors: list[float]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "squared_error"])
        # With ./ no name begins as a formula does, which spreadsheets would compute.
        table.writerows((f"./{name}", f"{error:.6g}") for name, error in zip(names, errors, strict=True))
