"""Small terms and critics with parameters and buffers of their own, for the tests of training procedures."""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from aelab.objectives.base import Critic, Term


class Classifier(Term):
    """The cross-entropy of the known labels, read from the codes by a layer of its own."""

    def __init__(self, latent: int = 16, classes: int = 10, idle: bool = False, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.head = nn.Linear(latent, classes)
        if idle:
            self.idle = nn.Parameter(torch.zeros(1))

    def forward(self, trace: Any, model: Any) -> Tensor:
        y, logits = trace.batch.y, self.head(trace.z[0])
        return F.cross_entropy(logits, y, ignore_index=-1, reduction="sum") / len(y)


class Average(Term):
    """Weighs nothing; follows the mean code, and notes each mean and where it was taken."""

    mean: Tensor

    def __init__(self, latent: int = 16, weight: float = 0.0) -> None:
        super().__init__(weight)
        self.register_buffer("mean", torch.zeros(latent))
        self.seen: list[list[float]] = []
        self.modes: set[tuple[bool, bool]] = set()

    def forward(self, trace: Any, model: Any) -> Tensor:
        return trace.z.square().sum(-1).mean()

    def after_step(self, trace: Any, model: Any) -> None:
        self.modes.add((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        batch = trace.z[0].float().mean(0)
        self.seen.append(batch.tolist())
        self.mean.lerp_(batch, 0.5)


class CodeCritic(Critic):
    """Tells codes from draws of a standard normal; it counts on the trainer to keep the encoder out."""

    def __init__(self, latent: int = 16) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(latent, 8), nn.ReLU(), nn.Linear(8, 1))

    def cost(self, trace: Any, model: Any) -> Tensor:
        z = trace.z[0]
        return F.softplus(-self.network(torch.randn_like(z))).mean() + F.softplus(self.network(z)).mean()


class Deception(Term):
    """What the critic of a name makes the encoder pay."""

    def __init__(self, critic: str, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.name = critic
        self.critics: dict[str, Any] = {}

    def bind(self, critics: Any) -> tuple[str]:
        self.critics = {self.name: critics[self.name]}
        return (self.name,)

    def forward(self, trace: Any, model: Any) -> Tensor:
        return F.softplus(-self.critics[self.name].network(trace.z[0])).mean()


class Notes(Callback):
    """At the end of training, `rank-N.json`: all parameters, and what an `Average` saw and holds."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parameters = {name: p.detach().flatten().tolist() for name, p in pl_module.named_parameters()}
        average = pl_module.objective.terms["average"]  # type: ignore[union-attr, index]
        notes = {"parameters": parameters, "mean": average.mean.tolist(), "seen": average.seen}
        (self.folder / f"rank-{trainer.global_rank}.json").write_text(json.dumps(notes))
