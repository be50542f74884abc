"""TensorBoard."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from aelab.loggers.base import Tracker, as_text


class TensorBoard(Tracker[TensorBoardLogger]):
    """TensorBoard's event files, in `trackers/tensorboard`; a resumed run adds to them."""

    def _start(self) -> TensorBoardLogger:
        return TensorBoardLogger(self._home, name="tensorboard", version="")

    def _show(self, inner: TensorBoardLogger, name: str, path: Path, step: int, caption: str) -> None:
        with Image.open(path) as image:
            inner.experiment.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def _tabulate(
        self, inner: TensorBoardLogger, name: str, head: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        ruled = [["---"] * len(head), *rows]
        inner.experiment.add_text(f"tables/{name}", as_text(head, ruled, " | "))

    def _spread(self, inner: TensorBoardLogger, name: str, values: np.ndarray, step: int) -> None:
        inner.experiment.add_histogram(name, values, step)

    def _warn(self, inner: TensorBoardLogger, name: str, why: str) -> None:
        inner.experiment.add_text(f"alarms/{name}", why)

    def _summarise(self, inner: TensorBoardLogger, values: Mapping[str, float]) -> None:
        inner.log_metrics(dict(values))
