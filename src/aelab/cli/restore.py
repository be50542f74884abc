"""A user's observations as they were before they were damaged, as far as a trained model can tell."""

from collections.abc import Iterator
from statistics import mean

from omegaconf import DictConfig
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from aelab.cli.outputs import write_outputs
from aelab.config.construct import construct
from aelab.core.errors import ConfigurationError
from aelab.core.files import draft
from aelab.data.values import valued
from aelab.jobs.degradation import Degradation, Degraded
from aelab.jobs.restoration import Restoration, Restored
from aelab.runs.find import run_of
from aelab.runs.trained import Trained, load

SHOWN = 16
COMPARED = "compared.png"
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
    errors: dict[str, list[float]] = {"error_before": [], "error_after": []} if config.damage else {}
    shown: list[Row] = []
    deviations: list[Tensor] = []

    def outputs() -> Iterator[Tensor]:
        with tqdm(total=len(names), desc=model.kind.nouns, leave=False, disable=None) as bar:
            for place, given in enumerate(blocks):
                left = _left(model, given, degradation, config, place)
                told = {"y": config.label, "attributes": config.attributes, "seed": config.seed + place}
                found = model.restore(left, degradation, way, **told)
                shown_back = valued(found.mean, model.values)
                for column, back in zip(errors.values(), (left.shown, shown_back), strict=False):
                    column.extend(_errors(model.seen(given), back))
                shown.extend([(given, left, found)] if not shown else [])
                deviations.append(found.deviation.cpu())
                yield found.mean
                bar.update(len(given))

    with draft(config.to, config.overwrite) as path:
        compared = (COMPARED, lambda: _picture(model, shown[0], config.damage))
        write_outputs(path, model.kind, outputs(), names, errors, {"deviation": deviations}, compared)
    print(f"{model.kind.nouns:9} {config.to}")
    if config.damage:
        before, after = (mean(column) for column in errors.values())
        print(f"error     {before:.4g} for each value before, {after:.4g} after")


def _left(
    model: Trained, given: Tensor, degradation: Degradation, config: DictConfig, place: int
) -> Degraded:
    if config.damage:
        return model.degrade(given, degradation, seed=config.seed + place)
    return model.degraded(given, degradation)


def _errors(x: Tensor, back: Tensor) -> list[float]:
    """The squared error per value of what is left, as it is shown, or of what came back."""
    return (back - x).double().square().flatten(1).mean(1).tolist()


def _picture(model: Trained, row: Row, damaged: bool) -> Image.Image:
    """What is left, what came back, how uncertain it is, and the truth where it is known."""
    given, left, found = row
    deviation = found.deviation / found.deviation.amax().clamp_min(1e-12)
    rows = [left.shown, valued(found.mean, model.values), deviation]
    captions = ["given", "restored", "deviation"]
    if damaged:
        rows, captions = [*rows, model.seen(given)], [*captions, "truth"]
    return model.kind.picture([each[:SHOWN] for each in rows], captions)
