"""New observations of a trained model, as files or as one picture."""

from collections.abc import Iterator

import torch
from omegaconf import DictConfig

from aelab.cli.outputs import write_outputs
from aelab.core.checks import at_least
from aelab.core.errors import ConfigurationError
from aelab.core.files import draft
from aelab.models.conditions import numbered
from aelab.runs.find import run_of
from aelab.runs.trained import Trained, load


def main(config: DictConfig) -> None:
    """Write the samples that a composed configuration asks for."""
    if config.count < 1 or config.columns < 1:
        raise ConfigurationError(f"count={config.count}, columns={config.columns}: both are at least 1")
    if config.grid and config.to.endswith(".npz"):
        raise ConfigurationError(f"to={config.to} and grid=true: a picture goes to a folder; choose one")
    model = load(run_of(config.run), config.device)
    labels = _labels(model, config)
    count = len(labels) if isinstance(labels, list) else config.count
    with draft(config.to, config.overwrite) as path:
        given = None if config["from"] is None else _given(model, config)
        samples = model.sample(
            count,
            y=labels,
            attributes=config.attributes,
            given=given,
            seed=config.seed,
        )
        if config.grid:
            path.mkdir()
            rows = samples.split(config.columns)
            model.picture(rows, [""] * len(rows)).save(path / "samples.png")
        else:
            write_outputs(path, model.kind, [samples], _names(model, config, labels, count))
    print(f"samples   {config.to}")


def _labels(model: Trained, config: DictConfig) -> int | list[int] | None:
    """The label that is asked for, or all of them, in turn or so many of each."""
    conditioner = model.model.conditioner
    classes = 0 if conditioner is None else conditioner.classes
    if config.each is not None:
        at_least(1, each=config.each)
        if not classes or config.label is not None:
            raise ConfigurationError(
                f"each={config.each} is of each class: leave out label, and give a model that is told labels"
            )
        return [label for label in range(classes) for _ in range(config.each)]
    if config.label is None and classes:
        return [place % classes for place in range(config.count)]
    return numbered(config.label, model.class_names)  # type: ignore[return-value]  # of one, a number


def _names(model: Trained, config: DictConfig, labels: int | list[int] | None, count: int) -> Iterator[str]:
    """The names of the files: numbers, and of each class its name before them."""
    for place in range(count):
        if config.each is None or not isinstance(labels, list):
            yield f"{place:05}"
        else:
            known = model.class_names or [str(label) for label in range(max(labels) + 1)]
            yield f"{known[labels[place]]}_{place % config.each:05}"


def _given(model: Trained, config: DictConfig) -> torch.Tensor:
    """As many of the user's observations as samples, again from the first where they are fewer."""
    _, blocks = model.kind.read(config["from"], model.shape, config.resize)
    given = torch.cat(list(blocks))
    return given[torch.arange(config.count) % len(given)]
