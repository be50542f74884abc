"""Parts for tests: a callback that writes down what a process of a distributed training saw, one that ends a
training, and a part of an evaluation that fails."""

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback


class Probe(Callback):
    """At the end of training, `rank-N.json`: a hash of the weights and the noise that followed each step."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.noise: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        self.noise.append(torch.randn(()).item())  # the next step seeds anew, so this disturbs nothing

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = torch.cat([p.detach().flatten() for p in pl_module.parameters()]).numpy().tobytes()
        seen = {"weights": hashlib.sha256(weights).hexdigest(), "noise": self.noise}
        (self.folder / f"rank-{trainer.global_rank}.json").write_text(json.dumps(seen))


class Terminate(Callback):
    """SIGTERM after the last resume point was taken, and before the test."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        signal.raise_signal(signal.SIGTERM)


class Broken:
    """A part of an evaluation with a defect."""

    def __call__(self, subject: Any, findings: Any) -> None:
        raise ZeroDivisionError("no luck today")
