"""A user's observations as a trained model gives them back, and how far off each is."""

from collections.abc import Iterator

from omegaconf import DictConfig
from torch import Tensor

from aelab.cli.outputs import write_outputs
from aelab.core.files import draft
from aelab.data.values import valued
from aelab.runs.find import run_of
from aelab.runs.trained import load

SHOWN = 64  # pairs in the picture of both
PAIRS = "pairs.png"


def main(config: DictConfig) -> None:
    """Write the reconstructions that a composed configuration asks for."""
    model = load(run_of(config.run), config.device)
    names, blocks = model.kind.read(config["from"], model.shape, config.resize)
    errors: list[float] = []
    shown: list[Tensor] = []

    def outputs() -> Iterator[Tensor]:
        for given in blocks:
            x = model.seen(given)
            back = model.reconstruct(given, y=config.label, attributes=config.attributes)
            errors.extend(model.kind.differences(x, valued(back, model.values)).tolist())
            if not shown:
                shown.extend([given[:SHOWN], back[:SHOWN]])
            yield back

    with draft(config.to, config.overwrite) as path:
        pairs = (PAIRS, lambda: model.picture(shown, ["input", "output"], 16))
        columns = {model.kind.difference.name: errors}
        write_outputs(path, model.kind, outputs(), names, columns, picture=pairs)
    print(f"{model.kind.nouns:9} {config.to}")
