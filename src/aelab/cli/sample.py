"""New images of a trained model, as files or as one picture."""

import torch
from omegaconf import DictConfig

from aelab.cli.pictures import pictures_in, read
from aelab.core.errors import ConfigurationError
from aelab.core.files import draft
from aelab.figures.grids import grid
from aelab.figures.images import as_images
from aelab.runs.trained import Trained, load


def main(config: DictConfig) -> None:
    """Write the samples that a composed configuration asks for."""
    if config.count < 1 or config.columns < 1:
        raise ConfigurationError(f"count={config.count}, columns={config.columns}: both are at least 1")
    model = load(config.run, config.device)
    with draft(config.to, config.overwrite) as folder:
        given = None if config.images is None else _given(model, config)
        samples = model.sample(
            config.count,
            y=_labels(model, config),
            attributes=config.attributes,
            given=given,
            seed=config.seed,
        )
        folder.mkdir()
        if config.grid:
            rows = samples.split(config.columns)
            grid(rows, [""] * len(rows)).save(folder / "samples.png")
        else:
            for place, image in enumerate(as_images(samples)):
                image.save(folder / f"{place:05}.png")
    print(f"samples   {config.to}")


def _labels(model: Trained, config: DictConfig) -> int | list[int] | None:
    """The label that is asked for, or all of them in turn."""
    conditioner = model.model.conditioner
    if config.label is None and conditioner is not None and conditioner.classes:
        return [place % conditioner.classes for place in range(config.count)]
    return config.label


def _given(model: Trained, config: DictConfig) -> torch.Tensor:
    files = pictures_in(config.images)
    repeated = [files[place % len(files)] for place in range(config.count)]
    return torch.cat(list(read(repeated, model, config.resize)))
