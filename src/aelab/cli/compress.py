"""A user's images in one small file, without loss."""

import torch
from omegaconf import DictConfig

from aelab.cli.progress import bar
from aelab.core.files import draft
from aelab.runs.find import run_of
from aelab.runs.trained import load


def main(config: DictConfig) -> None:
    """Write the file that a composed configuration asks for."""
    model = load(run_of(config.run))
    names, blocks = model.kind.read(config["from"], model.shape, config.resize)
    given = torch.cat(list(blocks))
    numbered = names == [str(place) for place in range(len(names))]
    content = model.compress(
        given,
        config.codes,
        y=config.label,
        attributes=None if config.attributes is None else list(config.attributes),
        notes=None if numbered else {"names": names},
        track=bar,
    )
    with draft(config.to, config.overwrite) as path:
        path.write_bytes(content)
    bits = 8 * len(content) / given.numel()
    said = f"{len(names):,} {model.kind.nouns}, {len(content):,} bytes, {bits:.4f} bits for each value"
    print(f"file      {config.to}: {said}")
