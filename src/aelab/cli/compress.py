"""A user's images in one small file, without loss, or as their codes alone."""

import torch
from omegaconf import DictConfig

from aelab.cli.progress import bar
from aelab.core.errors import ConfigurationError
from aelab.core.files import draft
from aelab.jobs.compression_baselines import sizes
from aelab.runs.find import run_of
from aelab.runs.trained import Trained, load


def main(config: DictConfig) -> None:
    """Write the file that a composed configuration asks for."""
    if config.lossy is not None and config.codes != 1:
        raise ConfigurationError(f"codes={config.codes} are of files without loss: leave it out, or lossy")
    model = load(run_of(config.run))
    names, blocks = model.kind.read(config["from"], model.shape, config.resize)
    given = torch.cat(list(blocks))
    content = _content(model, given, names, config)
    with draft(config.to, config.overwrite) as path:
        path.write_bytes(content)
    said = f"{len(names):,} {model.kind.nouns}, {_size(len(content), given)}"
    print(f"file      {config.to}: {said}")
    if config.baselines and config.lossy is None:
        levels = model.levels(given)
        for name, size in sizes(levels, model.count_of_levels()):
            print(f"{name:9} {_size(size, given)}")


def _content(model: Trained, given: torch.Tensor, names: list[str], config: DictConfig) -> bytes:
    numbered = names == [str(place) for place in range(len(names))]
    options = {
        "y": config.label,
        "attributes": None if config.attributes is None else list(config.attributes),
        "notes": None if numbered else {"names": names},
        "track": bar,
    }
    if config.lossy is None:
        return model.compress(given, config.codes, **options)
    step = None if config.lossy == "codebook" else config.lossy
    if not isinstance(step, int | float | None) or isinstance(step, bool):
        raise ConfigurationError(f"lossy={step}: a number is needed, the step of a grid, or codebook")
    return model.lossy(given, step, **options, root=config.data.root)


def _size(count: int, given: torch.Tensor) -> str:
    return f"{count:,} bytes, {8 * count / given.numel():.4f} bits for each value"
