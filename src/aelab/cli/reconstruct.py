"""The pictures of a folder as a trained model gives them back, and how far off each is."""

import csv
from pathlib import Path

import torch
from omegaconf import DictConfig

from aelab.cli.pictures import pictures_in, read
from aelab.core.files import draft, safe_names
from aelab.core.paths import from_user
from aelab.core.text import printable
from aelab.figures.grids import bands
from aelab.figures.images import as_images
from aelab.runs.trained import load

SHOWN = 64  # pairs in the picture of both
ERRORS, PAIRS = "errors.csv", "pairs.png"


def main(config: DictConfig) -> None:
    """Write the reconstructions that a composed configuration asks for."""
    model = load(config.run, config.device)
    root, files = from_user(config.images), pictures_in(config.images)
    places = [printable(file.relative_to(root)) for file in files]
    stems = (str(file.relative_to(root).with_suffix("")) for file in files)
    names = iter(safe_names(stems, ".png", reserved=[PAIRS]))
    errors: list[float] = []
    shown: list[torch.Tensor] = []
    with draft(config.to, config.overwrite) as folder:
        folder.mkdir()
        for pixels in read(files, model, config.resize):
            x = model.values(pixels)
            outputs = model.reconstruct(x, y=config.label, attributes=config.attributes)
            errors += (outputs - x).double().square().flatten(1).sum(1).tolist()
            for image in as_images(outputs):
                image.save(folder / next(names))
            shown = shown or [x[:SHOWN], outputs[:SHOWN]]
        bands(shown, ["input", "output"], 16).save(folder / PAIRS)
        _write(folder / ERRORS, places, errors)
    print(f"images    {config.to}")


def _write(path: Path, places: list[str], errors: list[float]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "squared_error"])
        # With ./ no name begins as a formula does, which spreadsheets would compute.
        table.writerows((f"./{place}", f"{error:.6g}") for place, error in zip(places, errors, strict=True))
