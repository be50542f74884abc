"""Pictures of reconstructions and of prior samples, always of the same validation data and the same noise."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.core.seeds import seed_generators, step_seed
from aelab.core.text import printable
from aelab.data.kinds import Kind
from aelab.figures.wav import save
from aelab.loggers import trackers
from aelab.models import Autoencoder
from aelab.training.measured import epoch_of

LONGEST = 18  # characters of a caption
WIDEST = 16  # classes that stand side by side


class Pictures(Callback):
    """Draws at every `every_n_epochs`-th validation (None: never) and, with the kept weights, at the test.

    count: validation observations beside their reconstructions. columns: observations in a row.
    """

    def __init__(
        self, folder: Path, every_n_epochs: int | None = 5, count: int = 32, columns: int = 16
    ) -> None:
        if (every_n_epochs is not None and every_n_epochs < 1) or count < 1 or columns < 2:
            raise ConfigurationError(
                "pictures.every_n_epochs and pictures.count must be at least 1, pictures.columns at least 2; "
                "pictures.every_n_epochs=null draws at the end alone"
            )
        self.folder, self.every, self.count, self.columns = folder, every_n_epochs, count, columns

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = epoch_of(trainer) + 1
        if trainer.is_global_zero and self.every and epoch % self.every == 0:
            self._draw(trainer, pl_module, f"epoch_{epoch:04d}_", f"epoch {epoch}")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self._draw(trainer, pl_module, "", f"kept weights, after {trainer.current_epoch} epochs")
            self._tabulate(trainer)

    def _tabulate(self, trainer: Trainer) -> None:
        """Give trackers the pictures of all epochs side by side."""
        epochs = sorted({path.name[:10] for path in self.folder.glob("epoch_*.png")})
        names = sorted({path.name[11:] for path in self.folder.glob("epoch_*.png")})
        shown = {epoch: [self.folder / f"{epoch}_{name}" for name in names] for epoch in epochs}
        rows = [[int(e[6:]), *paths] for e, paths in shown.items() if all(map(Path.exists, paths))]
        for tracker in trackers(trainer.loggers) if rows else ():
            tracker.log_table("pictures_by_epoch", ["epoch", *(Path(n).stem for n in names)], rows)

    @torch.no_grad()
    def _draw(self, trainer: Trainer, module: LightningModule, prefix: str, told: str) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        examples = _to(data.val_examples(self.count), module.device)
        seed_generators(step_seed(module.seed, "pictures"), module.device)  # type: ignore[arg-type]
        model: Any = module.model
        for name, picture in pictures(model, data.kind, examples, self.columns, data.class_names):
            path = self.folder / f"{prefix}{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            save(picture, path)
            for logger in trainer.loggers:
                if hasattr(logger, "log_picture"):
                    logger.log_picture(name, path, trainer.global_step, told)


def pictures(
    model: Autoencoder, kind: Kind, examples: Batch, columns: int, classes: Sequence[str]
) -> Iterator[tuple[str, Image.Image]]:
    """The pictures that are defined for this model, by name; classes: the names of its labels."""
    if model.encoder is not None:
        yield "reconstructions", reconstructions(kind, model(examples), columns)
    if model.prior is None:
        return
    if model.conditioner is None:
        samples = model.sample(columns * (columns // 2))
        yield "samples", kind.picture(samples.split(columns), [""] * (columns // 2))
    elif model.conditioner.classes:
        yield "samples", samples_by_class(model, kind, classes, columns, examples.x)
    else:
        yield "samples", samples_by_example(model, kind, examples, columns)


def reconstructions(kind: Kind, trace: Trace, columns: int) -> Image.Image:
    """Input, what the encoder saw where that differs, and what comes back of the code."""
    rows = {"input": trace.x, "corrupted": trace.corrupted, "output": kind.back(trace.likelihood)[0]}
    if trace.corrupted is trace.x:
        del rows["corrupted"]
    return kind.picture(list(rows.values()), list(rows), columns)


def samples_by_class(
    model: Autoencoder, kind: Kind, classes: Sequence[str], columns: int, like: Tensor
) -> Image.Image:
    """Half of `columns` samples for each label, as `by_class` has them.

    like: (B, *event), observations of the size and on the device.
    """
    labels = torch.arange(len(classes), device=like.device).repeat_interleave(columns // 2)
    given = Batch(like[:1].expand(len(labels), *like.shape[1:]), labels)
    samples = model.sample(len(labels), given)
    return by_class(kind, samples.split(columns // 2), classes)


def by_class(
    kind: Kind, parts: Sequence[Tensor], names: Sequence[str], captions: Sequence[str] | None = None
) -> Image.Image:
    """Observations of each class, K each, in a column below its name; in a row where classes are many.

    captions: of the K rows.
    """
    names = [caption(name) for name in names]
    if len(parts) > WIDEST or not kind.in_columns:
        return kind.picture(parts, names)
    rows = [torch.stack(row) for row in zip(*parts, strict=True)]
    return kind.picture(rows, captions or [""] * len(rows), heads=names)


def caption(name: str) -> str:
    """A class's name as it fits beside a row."""
    return printable(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")


def samples_by_example(
    model: Autoencoder, kind: Kind, examples: Batch, columns: int, rows: int = 8
) -> Image.Image:
    """An observation, and beside it samples under the condition that it gives."""
    count = min(rows, len(examples.x))
    index = torch.arange(count, device=examples.x.device).repeat_interleave(columns - 1)
    given = examples.map(lambda value: value[index])
    samples = model.sample(len(index), given).split(columns - 1)
    shown = [torch.cat([x[None], row]) for x, row in zip(examples.x, samples, strict=False)]
    return kind.picture(shown, [""] * count, heads=["given", "samples", *[""] * (columns - 2)])


def _to(batch: Batch, device: torch.device) -> Batch:
    return batch.map(lambda value: value.to(device))
