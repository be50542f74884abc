"""The images of a file that `aelab compress` wrote."""

import torch
from omegaconf import DictConfig

from aelab.cli.outputs import write_outputs
from aelab.cli.progress import bar
from aelab.core.errors import DataError
from aelab.core.files import draft
from aelab.core.paths import from_user
from aelab.core.text import printable
from aelab.jobs.compressed_file import opened
from aelab.runs.find import run_of
from aelab.runs.trained import load


def main(config: DictConfig) -> None:
    """Write the images that a composed configuration asks for."""
    path, name = from_user(config["from"]), printable(config["from"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{name} cannot be read ({error.strerror}): give a file of `aelab compress`"
        ) from error
    file = opened(content, name)
    model = load(run_of(config.run))
    with draft(config.to, config.overwrite) as path:
        found = model.decompress(content, name, bar)
        images = found.float() / 255 if found.dtype == torch.uint8 else found
        names = file.notes.get("names") or [f"{place:05}" for place in range(file.count)]
        write_outputs(path, model.kind, images.split(500), names)
    print(f"{model.kind.nouns:9} {config.to}: {file.count:,}")
