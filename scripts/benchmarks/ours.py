"""The contenders that are aelab, built from its configuration as a user's run is."""

import math
from collections.abc import Callable
from dataclasses import replace
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback

from aelab.config.compose import compose
from aelab.core.seeds import seed_generators, step_seed
from aelab.core.signals import Signals
from aelab.data.splits import Observations, Splits
from aelab.runs.build import Parts, build, make_trainer
from aelab.runs.folder import Run
from aelab.runs.train import begin, fit
from benchmarks.hand import (
    CPU,
    IMAGES,
    LOG_EVERY,
    SIDE,
    Case,
    Composition,
    pixels,
    timed,
    timed_trainer,
    warmup,
)

HELD_OUT, CLASSES = 500, 10


class Synthetic:
    """A source of random labelled images, in memory."""

    def prepare(self) -> None:
        """Nothing is needed."""

    def load(self) -> Splits:
        x = pixels(IMAGES + HELD_OUT)
        y = torch.arange(len(x)) % CLASSES
        return Splits(Observations(x[:IMAGES], y[:IMAGES]), Observations(x[IMAGES:], y[IMAGES:]), {})


class Mapped(Synthetic):
    """The same images as a memory map, of which the rows of each batch are read and moved to the device."""

    def load(self) -> Splits:
        found = super().load()
        return replace(found, train=_mapped(found.train), test=_mapped(found.test))


def _mapped(found: Observations) -> Observations:
    with NamedTemporaryFile() as file:  # whose name goes, and whose bytes stay as long as the map
        file.write(found.x.numpy().tobytes())
        file.flush()
        x = torch.from_file(file.name, shared=False, size=found.x.numel(), dtype=torch.uint8)
    return replace(found, x=x.view_as(found.x), rows=torch.arange(len(found.x)), mapped=True)


def most_steps(case: Composition) -> int:
    """That the one epoch of a measurement has room for, with the warm-up and one step after the last."""
    batches = math.ceil((IMAGES - HELD_OUT) / case.batch_size)
    return (batches - 1) * 10 // 11


def configuration(case: Composition, steps: int) -> DictConfig:
    """What `train.py` would compose, for one epoch that ends after the measured steps."""
    return compose(overrides(case, steps))


def overrides(case: Composition, steps: int) -> list[str]:
    """What it would be given."""
    settings = {
        "name": "benchmark",
        "data.name": "synthetic",
        "data.source._target_": "benchmarks.ours.Synthetic",
        "data.shape": f"[1,{SIDE},{SIDE}]",
        "data.classes": CLASSES,
        "data.validation": HELD_OUT,
        "data.batch_size": case.batch_size,
        "values": "grey",
        "logger.wandb.mode": "offline",
        "trainer.max_epochs": 1,
        "trainer.limit_train_batches": warmup(steps) + steps + 1,
        "trainer.log_every_n_steps": LOG_EVERY,
    }
    given = {override.split("=", 1)[0] for override in case.overrides}
    return [*(f"{k}={v}" for k, v in settings.items() if k not in given), *case.overrides]


def check_equal(case: Case, tolerance: float = 1e-4) -> None:
    """AssertionError unless floor and aelab have the same loss for the same weights, images and noise."""
    parts = build(configuration(case, case.steps))
    ours, theirs = parts.training, case.hand_written()
    with torch.no_grad():
        for mine, copied in zip(ours.model.parameters(), theirs.parameters(), strict=True):
            copied.copy_(mine)
        batch = next(iter(parts.data.train_dataloader()))
        torch.manual_seed(0)
        expected = ours.objective.total(ours.objective(ours.model(batch), ours.model), 0).item()
        torch.manual_seed(0)
        found = sum(part.item() for part in theirs(batch.x.view(-1, *case.event)))
    if not math.isclose(expected, found, rel_tol=tolerance):
        raise AssertionError(f"{case.name}: aelab's loss is {expected}, the floor's {found}")


def bare(case: Composition, steps: int) -> float:
    """aelab's loader, model and objective in a plain loop, without Lightning."""
    return timed(bare_step(build(configuration(case, steps))), steps)


def bare_step(parts: Parts, device: torch.device = CPU) -> Callable[[int], None]:
    """One step of the plain loop, given its number; as in a run, its noise follows from its position."""
    parts.training.to(device)
    model, objective, seed = parts.training.model, parts.training.objective, parts.training.seed
    optimizer = parts.training.make_optimizer(list(model.parameters()))
    critics = {
        critic: parts.training.make_optimizer(list(critic.parameters()))
        for critic in objective.critics.values()
    }
    loader = iter(parts.data.train_dataloader())

    def step(index: int) -> None:
        batch = next(loader)
        seed_generators(step_seed(seed, "train", 0, index), device)
        trace = model(batch, objective.samples)
        for critic, own in critics.items():
            own.zero_grad()  # of what the model's cost left there
            critic.cost(trace, model).backward()
            own.step()
            critic.after_step()
        objective.total(objective(trace, model), index, model).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def quiet(case: Composition, steps: int) -> float:
    """aelab in Lightning's Trainer, with neither logger nor callback."""
    config = configuration(case, steps)
    parts = build(config)

    def train(span: Callback) -> None:
        trainer = make_trainer(
            config, logger=False, callbacks=[span], enable_checkpointing=False, enable_progress_bar=False
        )
        trainer.fit(parts.training, datamodule=parts.data)

    return timed_trainer(train, steps)


def logged(case: Composition, steps: int) -> float:
    """A user's run: journal, W&B offline, pictures, best weights, resume points, progress."""
    return timed_trainer(lambda span: train_logged(case, steps, span), steps)


def logged_with(*more: str) -> Callable[[Case, int], float]:
    """The same with more overrides."""
    return lambda case, steps: logged(replace(case, overrides=(*case.overrides, *more)), steps)


def train_logged(case: Composition, steps: int, span: Callback) -> None:
    """Train as `train.py` does, in a folder of its own, with one more callback."""
    config = configuration(case, steps)
    parts = build(config)
    training: Any = parts.training
    training.configure_callbacks = lambda: [span]
    with TemporaryDirectory() as root:
        config.outputs = root
        fit(begin(Run.planned(config), parts), parts, Signals())
