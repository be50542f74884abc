"""TensorBoard."""

from pathlib import Path

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from aelab.loggers.base import Tracker


class TensorBoard(Tracker[TensorBoardLogger]):
    """TensorBoard's event files, in `trackers/tensorboard`; a resumed run adds to them."""

    def _start(self) -> TensorBoardLogger:
        return TensorBoardLogger(self._home, name="tensorboard", version="")

    def _show(self, inner: TensorBoardLogger, name: str, path: Path, step: int, caption: str) -> None:
        with Image.open(path) as image:
            inner.experiment.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")
