"""Labelled observations with new ones that a trained model makes of them, as data for another training."""

from collections.abc import Iterator

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from aelab.config.construct import construct
from aelab.core.errors import InapplicableError
from aelab.core.files import draft
from aelab.data.module import DataModule
from aelab.data.splits import Observations
from aelab.jobs.augmentation import Augmentation
from aelab.runs.data import data_of
from aelab.runs.find import run_of
from aelab.runs.trained import Trained, load


def main(config: DictConfig) -> None:
    """Write the observations that a composed configuration asks for."""
    way: Augmentation = construct(config.augmentation, "augmentation")
    model = load(run_of(config.run), config.device)
    data = data_of(model.run, config.data.root).expected()
    known = labelled(data.observations("train"), model)
    assert known.y is not None
    with draft(config.to, config.overwrite) as path:
        new, labels = model.augment(known.x, known.y, way, config.per_class, config.seed)
        if path.suffix == ".npz":
            more = Observations(stored(new, model), labels)
            np.savez(path, **dict(_arrays(data, [known, more] if config.real else [more])))  # type: ignore[arg-type]
        else:
            path.mkdir()
            for label, each in zip(labels.unique().tolist(), new.split(config.per_class), strict=True):
                folder = path / data.class_names[label]
                folder.mkdir()
                model.kind.write(folder, [each], (f"{place:05}" for place in range(len(each))))
    made = f"{len(new):,} of {len(labels.unique())} classes"
    print(f"new       {config.to}: {made}, of {len(known):,} labelled")


def labelled(train: Observations, model: Trained) -> Observations:
    """Those of a split whose label is known."""
    places = torch.empty(0) if train.y is None else (train.y >= 0).nonzero()[:, 0]
    if not len(places):
        raise InapplicableError(
            f"no label of the training {model.kind.nouns} is known, and new ones need one"
        )
    return train.take(places).at(slice(None))


def stored(x: Tensor, model: Trained) -> Tensor:
    """Observations as a data set keeps them: pixels in 256 levels, and vectors as they are."""
    if model.kind.stored == torch.uint8:
        return (x.clamp(0, 1) * 255).round().to(torch.uint8)
    if model.kind.stored == torch.float32:
        return x
    raise InapplicableError(
        f"a file holds images or vectors, and these are {model.kind.nouns}: give a folder"
    )


def _arrays(data: DataModule, train: list[Observations]) -> Iterator[tuple[str, np.ndarray]]:
    """The training split, and the others as they are."""
    rest = {split: [data.observations(split)] for split in ("val", "test")}
    for split, parts in {"train": train, **rest}.items():
        whole = [part.at(slice(None)) for part in parts]
        yield f"x_{split}", torch.cat([part.x.cpu() for part in whole]).numpy()
        yield f"y_{split}", torch.cat([part.y.cpu() for part in whole if part.y is not None]).numpy()
