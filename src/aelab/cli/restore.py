"""A user's observations as they were before they were damaged, as far as a trained model can tell."""

from collections.abc import Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from aelab.cli.per_file import write_per_file
from aelab.config.construct import construct
from aelab.core.errors import ConfigurationError
from aelab.core.files import draft
from aelab.data.values import valued
from aelab.jobs.degradation import Degradation, Degraded
from aelab.jobs.restoration import Restoration, Restored
from aelab.runs.find import run_of
from aelab.runs.trained import Trained, load

SHOWN = 16
ERRORS, COMPARED = "errors.csv", "compared.png"
Row = tuple[Tensor, Degraded, Restored]


def main(config: DictConfig) -> None:
    """Write the restorations that a composed configuration asks for."""
    degradation: Degradation = construct(config.degradation, "degradation")
    way: Restoration = construct(config.restoration, "restoration")
    model = load(run_of(config.run), config.device)
    degradation.check(model.shape)
    if config.damage and config.resize and degradation.left(model.shape) != model.shape:
        raise ConfigurationError("resize=true is for whole pictures: give damage=true, or leave it out")
    shape = model.shape if config.damage else degradation.left(model.shape)
    names, blocks = model.kind.read(config["from"], shape, config.resize)
    errors: list[tuple[float, float]] = []
    shown: list[Row] = []

    def outputs() -> Iterator[Tensor]:
        with tqdm(total=len(names), desc=model.kind.nouns, leave=False, disable=None) as bar:
            for place, given in enumerate(blocks):
                left = _left(model, given, degradation, config, place)
                told = {"y": config.label, "attributes": config.attributes, "seed": config.seed + place}
                found = model.restore(left, degradation, way, **told)
                if config.damage:
                    errors.extend(_errors(model.seen(given), left, valued(found.mean, model.values)))
                shown.extend([(given, left, found)] if not shown else [])
                yield found.mean
                bar.update(len(given))

    with draft(config.to, config.overwrite) as folder:
        folder.mkdir()
        model.kind.write(folder, outputs(), names, reserved=[COMPARED])
        _picture(model, shown[0], config.damage, folder / COMPARED)
        if config.damage:
            rows = [[f"{before:.6g}", f"{after:.6g}"] for before, after in errors]
            write_per_file(folder / ERRORS, ["error_before", "error_after"], names, rows)
    print(f"{model.kind.nouns:9} {config.to}")
    if config.damage:
        before, after = torch.tensor(errors).mean(0).tolist()
        print(f"error     {before:.4g} for each value before, {after:.4g} after")


def _left(
    model: Trained, given: Tensor, degradation: Degradation, config: DictConfig, place: int
) -> Degraded:
    if config.damage:
        return model.degrade(given, degradation, seed=config.seed + place)
    return model.degraded(given, degradation)


def _errors(x: Tensor, left: Degraded, back: Tensor) -> list[tuple[float, float]]:
    """The squared error per value of what is left, as it is shown, and of what came back."""
    pairs = ((shown - x).double().square().flatten(1).mean(1) for shown in (left.shown, back))
    return [(float(a), float(b)) for a, b in zip(*pairs, strict=True)]


def _picture(model: Trained, row: Row, damaged: bool, path: Path) -> None:
    """What is left, what came back, how uncertain it is, and the truth where it is known."""
    given, left, found = row
    deviation = found.deviation / found.deviation.amax().clamp_min(1e-12)
    rows = [left.shown, valued(found.mean, model.values), deviation]
    captions = ["given", "restored", "deviation"]
    if damaged:
        rows, captions = [*rows, model.seen(given)], [*captions, "truth"]
    model.kind.picture([each[:SHOWN] for each in rows], captions).save(path)
