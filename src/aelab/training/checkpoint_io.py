"""How Lightning writes and reads checkpoints: whole or not at all."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO

from aelab.core.files import write_bytes
from aelab.training.checkpoints import load, sealed


class AtomicCheckpointIO(CheckpointIO):
    """Writes checkpoints whole, with a digest: a kill leaves the old file or the new.

    Loads tensors and plain containers only, from local paths only: a checkpoint is data, not code.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(Path(path), sealed(buffer.getvalue()))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        return load(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
