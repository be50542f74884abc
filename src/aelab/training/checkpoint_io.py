"""How Lightning writes and reads checkpoints: whole or not at all."""

import io
import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO

from aelab.training.checkpoints import PARTIAL, load, sealed


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the final name, flushes to the disk, then renames: a kill leaves the old file or the new.

    Loads tensors and plain containers only, from local paths only: a checkpoint is data, not code.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        draft = path.with_suffix(PARTIAL)
        try:
            with draft.open("wb") as file:
                file.write(sealed(buffer.getvalue()))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        return load(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
