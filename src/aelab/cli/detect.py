"""Scores of anomalies among a user's observations, with a threshold from the run's own validation split."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from aelab.cli.outputs import write_per_file
from aelab.config.construct import construct
from aelab.config.nearest import nearest
from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.files import draft, safe_names
from aelab.core.seeds import drawn_from
from aelab.core.terminal import console
from aelab.data.values import valued
from aelab.jobs.anomaly import Score
from aelab.jobs.threshold import Threshold
from aelab.runs.data import data_of
from aelab.runs.find import run_of
from aelab.runs.jobs import split_of
from aelab.runs.trained import Trained, load


def main(config: DictConfig) -> None:
    """Write the scores that a composed configuration asks for."""
    scores: dict[str, Score] = construct(config.get("score"), "score") or {}
    if not scores:
        raise ConfigurationError("score=[]: name one score at least, as score=[reconstruction_error]")
    if config.by is not None and config.by not in scores:
        raise ConfigurationError(f"by={config.by} is none of the scores; {nearest(config.by, list(scores))}")
    model = load(run_of(config.run), config.device)
    scores = _served(scores, model, config)
    by = config.by or next(iter(scores))
    if by not in scores:
        raise InapplicableError(f"by={by}: this model cannot serve it; choose one of {', '.join(scores)}")
    with ExitStack() as stack:
        to = stack.enter_context(draft(config.to, config.overwrite))
        maps = None if config.maps is None else stack.enter_context(draft(config.maps, config.overwrite))
        names, found = _found(model, scores, config, maps)
        rule = Threshold(_validated(model, scores[by], config), config.false_positives)
        anomalous = rule.anomalous(found[by])
        values = zip(*found.values(), rule.p_values(found[by]), anomalous, strict=True)
        rows = ([*(f"{s:.6g}" for s in scores), f"{p:.4g}", int(is_one)] for *scores, p, is_one in values)
        write_per_file(to, [*found, "p_value", "anomalous"], names, rows)
    console().print(f"scores    {config.to}: {', '.join(found)}")
    if config.maps is not None:
        print(f"maps      {config.maps}")
    console().print(
        f"anomalies {int(anomalous.sum())} of {len(names)} by {by}, with {config.false_positives:.3g} of "
        f"normal {model.kind.nouns} called so, after {len(rule.normal)} of validation"
    )


def _served(scores: Mapping[str, Score], model: Trained, config: DictConfig) -> dict[str, Score]:
    """The scores that the model can serve, fitted; aloud, why others are left out."""
    background = None if config.background is None else load(config.background, config.device)
    reference = model.reference(config.data.root, config.train, background)
    served = {}
    for name, score in scores.items():
        try:
            score.fit(reference)
            served[name] = score
        except InapplicableError as error:
            console().print(f"without   {name}: {error}")
    if not served:
        raise InapplicableError("none of the scores is one that this model can serve: choose others")
    return served


def _found(
    model: Trained, scores: Mapping[str, Score], config: DictConfig, maps: Path | None
) -> tuple[list[str], dict[str, Tensor]]:
    names, blocks = model.kind.read(config["from"], model.shape, config.resize)
    parts: dict[str, list[Tensor]] = {name: [] for name in scores}
    told = {"y": config.label, "attributes": config.attributes}
    files = iter(safe_names([Path(name).with_suffix("").as_posix() for name in names], ".png"))
    if maps is not None:
        maps.mkdir()
    with tqdm(total=len(names), desc=model.kind.nouns, leave=False, disable=None) as bar:
        for given in blocks:
            for name, score in scores.items():
                parts[name].append(model.anomaly(given, score, **told, seed=config.seed))
            if maps is not None:
                _draw(model, given, told, maps, files)
            bar.update(len(given))
    return names, {name: torch.cat(each) for name, each in parts.items()}


def _draw(model: Trained, given: Tensor, told: Mapping[str, Any], maps: Path, files: Iterator[str]) -> None:
    """Input, what comes back, and the error of each value on one scale for the block."""
    x, back = model.seen(given), valued(model.reconstruct(given, **told), model.values)
    error = model.error_map(given, **told)
    error = error / error.amax().clamp_min(1e-12)
    for each in zip(x, back, error, strict=True):
        rows = [one[None] for one in each]
        model.kind.picture(rows, ["input", "output", "error"]).save(maps / next(files))


@torch.no_grad()
def _validated(model: Trained, score: Score, config: DictConfig) -> Tensor:
    """The scores of the validation split, under noise of the same seed."""
    parts = split_of(data_of(model.run, config.data.root), "val", None, model.device)
    with drawn_from(config.seed, model.device):
        return torch.cat([score(part).cpu() for part in parts])
