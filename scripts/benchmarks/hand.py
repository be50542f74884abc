"""What is measured, and the contenders without aelab: a hand-written VAE, bare and in stock Lightning."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

IMAGES, SIDE = 60_000, 28
LOG_EVERY = 50
LEARNING_RATE = 1e-3
CPU = torch.device("cpu")

Networks = tuple[nn.Module, nn.Module]


@dataclass(frozen=True, kw_only=True)
class Composition:
    """A model and a batch size, as overrides of aelab's configuration."""

    name: str
    overrides: tuple[str, ...]
    batch_size: int = 128


@dataclass(frozen=True, kw_only=True)
class Case(Composition):
    """A VAE that is also written by hand, in layers.

    networks: builds the encoder, x (B, *event) -> (B, 2 latent), and the decoder, z -> logits (B, *event).
    steps: how many make one measurement, a multiple of LOG_EVERY. target: the least ratio of aelab, with all
    its logging, to the floor; None where none is set. peer_target: the same against pythae.
    """

    event: tuple[int, ...]
    networks: Callable[[], Networks]
    steps: int
    target: float | None = None
    peer_target: float | None = None

    def hand_written(self) -> "VAE":
        """The model with the initial weights of torch's default generator."""
        return VAE(*self.networks())


class VAE(nn.Module):
    """The VAE of a page of torch. forward: x (B, *event) -> distortion and rate, nats per sample."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_variance = self.encoder(x).chunk(2, -1)
        z = loc + torch.randn_like(loc) * (0.5 * log_variance).exp()
        distortion = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        rate = -0.5 * (1 + log_variance - loc.square() - log_variance.exp()).sum()
        return distortion / len(x), rate / len(x)


def mlp(pixels: int, widths: tuple[int, ...], latent: int) -> Networks:
    """Rectified layers of `widths` and their mirror."""
    return _layers((pixels, *widths, 2 * latent)), _layers((latent, *reversed(widths), pixels))


def _layers(sizes: tuple[int, ...]) -> nn.Sequential:
    linear = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    return nn.Sequential(*(part for layer in linear[:-1] for part in (layer, nn.ReLU())), linear[-1])


def conv(channels: tuple[int, int], latent: int) -> Networks:
    """Two 3x3 convolutions of stride 2 for images of SIDE x SIDE, and their mirror."""
    first, second = channels
    small = SIDE // 4
    encoder = nn.Sequential(
        nn.Conv2d(1, first, 3, 2, 1), nn.ReLU(), nn.Conv2d(first, second, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(second * small**2, 2 * latent),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(latent, second * small**2), nn.Unflatten(-1, (second, small, small)), nn.ReLU(),
        nn.ConvTranspose2d(second, first, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(first, 1, 3, 2, 1, 1),
    )  # fmt: skip
    return encoder, decoder


def pixels(count: int = IMAGES) -> Tensor:
    """Random images (count, 1, SIDE, SIDE), uint8, the same ones at every call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 1, SIDE, SIDE), dtype=torch.uint8, generator=generator)


def warmup(steps: int) -> int:
    """Steps that precede a measurement of `steps`."""
    return steps // 10


clock = time.process_time
"""CPU seconds of this process, of all its threads together, which other processes on the machine lengthen by
a few per cent only. Not counted: waiting, as for a disk, and processes that it starts, as a tracker's own."""


def timed(step: Callable[[int], object], steps: int) -> float:
    """CPU seconds for each of `steps` calls, after a warm-up; `step` is given its number."""
    first = warmup(steps)
    for index in range(first):
        step(index)
    start = clock()
    for index in range(first, first + steps):
        step(index)
    return (clock() - start) / steps


class Span(Callback):
    """Calls `begin` where the first step after the warm-up starts, `end` where the one `steps` later does.

    Whole steps lie between the two, with `steps / LOG_EVERY` log lines; no validation, no end of an epoch.
    """

    def __init__(self, steps: int, begin: Callable[[], object], end: Callable[[], object]) -> None:
        first = warmup(steps)
        self.calls = {first: begin, first + steps: end}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx in self.calls:
            self.calls[batch_idx]()


class Stopwatch:
    """Called twice: the seconds between the two, for each of `steps`."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self) -> None:
        self.times.append(clock())

    def seconds(self, steps: int) -> float:
        start, end = self.times
        return (end - start) / steps


def timed_trainer(train: Callable[[Callback], object], steps: int) -> float:
    """CPU seconds for each of `steps` in a training by Lightning of `warmup(steps) + steps + 1` batches."""
    watch = Stopwatch()
    train(Span(steps, watch, watch))
    return watch.seconds(steps)


def floor(case: Case, steps: int) -> float:
    """Forward, backward and step on one resident batch, with torch's default Adam."""
    return _floor(case, steps, fused=False)


def fused_floor(case: Case, steps: int) -> float:
    """The same with fused Adam: what all others are compared with."""
    return _floor(case, steps, fused=True)


def mixed_floor(case: Case, steps: int) -> float:
    """With fused Adam, in bfloat16 what autocast computes so."""
    return _floor(case, steps, fused=True, mixed=True)


def _floor(case: Case, steps: int, fused: bool, mixed: bool = False) -> float:
    return timed(floor_step(case, CPU, fused, mixed), steps)


def floor_step(case: Case, device: torch.device, fused: bool, mixed: bool = False) -> Callable[[int], None]:
    """One step of the floor on a device, given its number."""
    model = case.hand_written().to(device)
    graphs = device.type == "cuda"  # a step that a CUDA graph can capture
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=fused, capturable=graphs)
    x = (pixels(case.batch_size).reshape(-1, *case.event) / 255).to(device)

    def step(index: int) -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            distortion, rate = model(x)
        (distortion + rate).backward()
        optimizer.step()

    return step


class _Images(Dataset):
    """Items as torchvision's ToTensor makes them: (H, W) uint8 -> (1, H, W) float32 in [0, 1]."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.images[index])[None].float().div(255)


class _Classic(LightningModule):
    """The hand-written model as Lightning's tutorials train one, with the four numbers that aelab logs."""

    def __init__(self, model: VAE, event: tuple[int, ...]) -> None:
        super().__init__()
        self.model, self.event = model, event

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        distortion, rate = self.model(batch.view(-1, *self.event))
        loss = distortion + rate
        self.log("train/reconstruction", distortion)
        self.log("train/kl", rate)
        self.log("train/loss", loss)
        self.log("train/learning_rate", LEARNING_RATE)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), LEARNING_RATE, fused=True)


def lightning(case: Case, steps: int) -> float:
    """Stock Lightning: automatic optimisation, a DataLoader of items, CSVLogger, `self.log` in each step."""
    loader: DataLoader[Tensor] = DataLoader(_Images(pixels()[:, 0].numpy()), case.batch_size, shuffle=True)
    with _trainer(steps) as trainer:
        return timed_trainer(lambda span: _fit(trainer(span), case, loader), steps)


def _fit(trainer: Trainer, case: Case, loader: DataLoader[Tensor]) -> None:
    trainer.fit(_Classic(case.hand_written(), case.event), loader)


@contextmanager
def _trainer(steps: int) -> Iterator[Callable[[Callback], Trainer]]:
    with TemporaryDirectory() as folder:
        yield lambda span: Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_train_batches=warmup(steps) + steps + 1,
            logger=CSVLogger(Path(folder)),
            callbacks=[span],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
