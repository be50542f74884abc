"""New observations of a trained model, as files or as one picture."""

import torch
from omegaconf import DictConfig

from aelab.core.errors import ConfigurationError
from aelab.core.files import draft
from aelab.runs.trained import Trained, load


def main(config: DictConfig) -> None:
    """Write the samples that a composed configuration asks for."""
    if config.count < 1 or config.columns < 1:
        raise ConfigurationError(f"count={config.count}, columns={config.columns}: both are at least 1")
    model = load(config.run, config.device)
    with draft(config.to, config.overwrite) as folder:
        given = None if config.input is None else _given(model, config)
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
            model.picture(rows, [""] * len(rows)).save(folder / "samples.png")
        else:
            model.kind.write(folder, [samples], (f"{place:05}" for place in range(len(samples))))
    print(f"samples   {config.to}")


def _labels(model: Trained, config: DictConfig) -> int | list[int] | None:
    """The label that is asked for, or all of them in turn."""
    conditioner = model.model.conditioner
    if config.label is None and conditioner is not None and conditioner.classes:
        return [place % conditioner.classes for place in range(config.count)]
    return config.label


def _given(model: Trained, config: DictConfig) -> torch.Tensor:
    """As many of the user's observations as samples, again from the first where they are fewer."""
    _, blocks = model.kind.read(config.input, model.shape, config.resize)
    given = torch.cat(list(blocks))
    return given[torch.arange(config.count) % len(given)]
