"""The codes of a data set's split or of a user's observations, as a table for other tools."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.core.files import draft
from aelab.models.conditions import sees_observation
from aelab.runs.find import run_of
from aelab.runs.trained import BLOCK, Trained, load

Columns = dict[str, np.ndarray]
SPLITS = ("train", "val", "test")


def main(config: DictConfig) -> None:
    """Write the codes that a composed configuration asks for."""
    suffix = Path(config.to).suffix
    if suffix not in (".npz", ".parquet"):
        raise ConfigurationError(f"to={config.to!r} ends in neither .npz nor .parquet: choose one")
    if config["from"] is None and config.split not in SPLITS:
        raise ConfigurationError(f"split={config.split}: choose one of {', '.join(SPLITS)}")
    model = load(run_of(config.run), config.device)
    with draft(config.to, config.overwrite) as path:
        parts = list(_of_split(model, config) if config["from"] is None else _of_input(model, config))
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if suffix == ".npz":
            np.savez(path, **columns)  # type: ignore[arg-type]
        else:
            _parquet(columns, path)
    shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in columns.items())
    print(f"codes     {config.to}: {shapes}")


def _of_split(model: Trained, config: DictConfig) -> Iterator[Columns]:
    """Of observations as training saw them, with their labels where they have some."""
    from aelab.runs.data import data_of

    conditioner = model.model.conditioner
    field = None if conditioner is None or sees_observation(conditioner) else conditioner.field
    for batch in data_of(model.run, config.data.root).in_order(config.split, BLOCK):
        told = {} if field is None else {field: getattr(batch, field)}
        posterior = model.posterior(model.values.restore(batch.x), **told)
        labels = {} if batch.y is None else {"labels": batch.y.cpu().numpy()}
        yield {**_codes(posterior), **labels}


def _of_input(model: Trained, config: DictConfig) -> Iterator[Columns]:
    names, blocks = model.kind.read(config["from"], model.shape, config.resize)
    done = 0
    for given in blocks:
        posterior = model.posterior(given, y=config.label, attributes=config.attributes)
        yield {**_codes(posterior), "files": np.array(names[done : done + len(given)])}
        done += len(given)


@torch.no_grad()
def _codes(posterior: Distribution) -> Columns:
    """Means, and standard deviations of a posterior that has them in a closed form."""
    codes = {"codes": posterior.mean.float().cpu().numpy()}
    try:
        return {**codes, "deviations": posterior.variance.sqrt().float().cpu().numpy()}
    except NotImplementedError:
        return codes


def _parquet(columns: Columns, path: Path) -> None:
    """One column for each dimension: z0, z1, ..., deviation0, ..., label, file."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigurationError("a .parquet file needs pyarrow: pip install 'aelab[parquet]'") from error
    names = {"codes": "z", "deviations": "deviation", "labels": "label", "files": "file"}
    flat: dict[str, Any] = {}
    for name, values in columns.items():
        each = {names[name]: values} if values.ndim == 1 else dict(_numbered(names[name], values))
        flat |= each
    parquet.write_table(pa.table(flat), path)


def _numbered(name: str, values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    return ((f"{name}{place}", column) for place, column in enumerate(values.T))
