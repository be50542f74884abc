"""Several trainings at once: stacked steps between validations, and for the rest a run for each member.

A member has what a run alone has: folder, record, journal, trackers, validation, best weights, pictures and
test. It has no resume points.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from aelab.core.errors import AelabError, NonFiniteError
from aelab.core.records import Batch
from aelab.core.signals import Signals
from aelab.data.stacked import StackedLoader
from aelab.runs.build import Parts, build
from aelab.runs.fit import owned, report_run, show_settings, status_of, test, trainer_of
from aelab.runs.folder import Run, RunFolder
from aelab.runs.members import described, members_of
from aelab.runs.train import begin, rehearse
from aelab.training.base import Training
from aelab.training.loop import limited
from aelab.training.vectorised.stacked_training import StackedTraining
from aelab.training.window import means_over_samples

ADVICE = "members that were trained together cannot be continued: start anew"


@dataclass
class Member:
    """One run among those that are trained together.

    shown: what tells it from the others. failure: why it was given up, and the others were not.
    """

    run: Run
    parts: Parts
    trainer: Trainer
    shown: str
    failure: AelabError | None = None
    status: AbstractContextManager[None] = field(init=False)

    def __post_init__(self) -> None:
        self.status = status_of(self.run.folder, self.trainer, ADVICE)
        self.parts.training.trainer = self.trainer
        self.trainer.strategy.connect(self.parts.training)

    @property
    def training(self) -> Training:
        return self.parts.training

    def stand_at(self, epoch: int, step: int) -> None:
        """Let the Trainer know where the training is, as its own loop would."""
        loop: Any = self.trainer.fit_loop
        loop.epoch_progress.current.processed = loop.epoch_progress.current.completed = epoch
        loop.epoch_loop.manual_optimization.optim_step_progress.total.completed = step

    def validate(self, epoch: int) -> None:
        """Measure the validation split after an epoch, and keep weights that are the best so far."""
        self.trainer.validate(self.training, datamodule=self.parts.data, verbose=False)
        self.trainer.state.fn = TrainerFn.FITTING  # a checkpoint of validation alone would not be written
        best: Any = self.trainer.checkpoint_callback
        best.on_train_epoch_end(self.trainer, self.training)
        self.stand_at(epoch + 1, self.trainer.global_step)

    def __enter__(self) -> "Member":
        self.status.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.failure is None:
            self.status.__exit__(*error)

    def give_up(self, reason: AelabError) -> None:
        """Close this run as failed."""
        self.failure = reason
        self.status.__exit__(type(reason), reason, reason.__traceback__)


def train_members(config: DictConfig, overrides: Sequence[str], signals: Signals) -> list[RunFolder]:
    """Train all members from nothing, each in a new folder; the folders, in the members' order.

    overrides: those that the configuration was composed from, of which each member takes its own.

    Raises NonFiniteError where a member diverged, after the others are finished.
    """
    runs = prepared(config, overrides, signals)
    with opened(runs, signals) as members:
        runs.epochs.train(members)
        for member in _alive(members):
            test(member.trainer, member.parts, member.run.folder, runs.epochs.seen)
    for member in _alive(members):
        report_run(member.trainer, member.run.folder)
    if lost := [m for m in members if m.failure]:
        reasons = "; ".join(f"{m.shown}: {m.failure}" for m in lost)
        raise NonFiniteError(f"{len(lost)} of {len(members)} members failed, the others are whole: {reasons}")
    return [member.run.folder for member in members]


@dataclass(frozen=True)
class Prepared:
    """What is trained together, before a folder exists; shown: what tells each from the others."""

    runs: Sequence[Run]
    parts: Sequence[Parts]
    shown: Sequence[str]
    epochs: "Epochs"


def prepared(config: DictConfig, overrides: Sequence[str], signals: Signals) -> Prepared:
    """Build all members on images that are read once, and try them.

    Raises ConfigurationError for what cannot be trained together.
    """
    configs = members_of(config, overrides)
    first = build(configs[0])
    parts = [first, *(build(own, first.data.with_seed(own.seed)) for own in configs[1:])]
    runs = [Run.planned(own) for own in configs]
    trials = [rehearse(run, part, signals) for run, part in zip(runs, parts, strict=True)]
    epochs = Epochs(parts, trials)
    epochs.check()
    return Prepared(runs, parts, described(configs, config), epochs)


@contextmanager
def opened(runs: Prepared, signals: Signals) -> Iterator[list[Member]]:
    """A folder and a Trainer for each, and how each ended in its record."""
    members = []
    with ExitStack() as stack:
        for index, (planned, parts) in enumerate(zip(runs.runs, runs.parts, strict=True)):
            run = begin(planned, parts, vectorised={"member": index, "of": len(runs.runs)})
            stack.enter_context(owned(run.folder))
            trainer = trainer_of(run, run.folder.read()["run_id"], signals, Silent())
            members.append(stack.enter_context(Member(run, parts, trainer, runs.shown[index])))
            show_settings(trainer, run)
        yield members


class Silent(Callback):
    """Progress that is shown elsewhere."""


def _alive(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if member.failure is None]


class Epochs:
    """Epochs of stacked steps, with a validation of each member after each."""

    def __init__(self, parts: Sequence[Parts], trainers: Sequence[Trainer]) -> None:
        for part, trainer in zip(parts, trainers, strict=True):
            part.data.trainer = trainer  # it tells the images' device
        self.batches = StackedLoader([part.data.train_dataloader() for part in parts])
        first = trainers[0]
        self.count = limited(len(self.batches.first), first.limit_train_batches)
        self.epochs, self.every = int(first.max_epochs or 1), first.log_every_n_steps  # type: ignore[attr-defined]
        device = first.strategy.root_device
        self.steps = StackedTraining([part.training for part in parts], self.epochs * self.count, device)
        self.rows: list[Tensor] = []
        self.sizes: list[int] = []  # of the batches of these rows
        self.started, self.seen = time.perf_counter(), 0

    def check(self) -> None:
        """Refuse what cannot be stacked, on a first batch."""
        self.steps.check(next(self.batches.batches(0, 1)))

    def train(self, members: Sequence[Member]) -> None:
        """To the end, or until no member is left."""
        began = time.monotonic()
        for epoch in range(self.epochs):
            self._epoch(epoch, members)
            self.steps.stack.publish()
            for member in _alive(members):
                with _or_given_up(member):
                    member.validate(epoch)
            _show(members, epoch + 1, self.epochs, time.monotonic() - began)
            if not _alive(members):
                return

    def _epoch(self, epoch: int, members: Sequence[Member]) -> None:
        self.started = time.perf_counter()
        for index, batch in enumerate(self.batches.batches(epoch, self.count)):
            self.advance(batch, epoch, index, members)
        for member in members:
            member.stand_at(epoch, self.steps.done)
        if self.rows:
            self._log(epoch, members)

    def advance(self, batch: Batch, epoch: int, index: int, members: Sequence[Member]) -> None:
        """One step of all members, and a line in their journals where one is due."""
        self.rows.append(self.steps.step(batch, epoch, index))
        self.sizes.append(batch.x.shape[1])
        self.seen += batch.x.shape[1]
        if len(self.rows) == self.every:
            self._log(epoch, members)

    def _log(self, epoch: int, members: Sequence[Member]) -> None:
        """Hand each member the means of its terms since the last time."""
        table = torch.stack(self.rows).cpu().double()
        sizes = list(self.sizes)
        self.rows.clear()
        self.sizes.clear()
        speed = sum(sizes) / max(1e-9, time.perf_counter() - self.started)
        rates = self.steps.optimizer.rates(self.steps.done - 1)
        for row, member in enumerate(members):
            if member.failure is None:
                member.stand_at(epoch, self.steps.done)
                with _or_given_up(member):
                    self._log_one(member, table[:, :, row], sizes, rates[row], speed)
        self.started = time.perf_counter()

    def _log_one(self, member: Member, own: Tensor, sizes: Sequence[int], rate: float, speed: float) -> None:
        if not own.isfinite().all():
            steps = list(range(self.steps.done - len(own) + 1, self.steps.done + 1))
            window = member.training.window
            window.load_state_dict({"names": self.steps.names, "steps": steps, "sizes": sizes, "table": own})
            window.check()
        means = dict(zip(self.steps.names, means_over_samples(own, sizes).tolist(), strict=True))
        member.training.log_means(means, rate, speed)


@contextmanager
def _or_given_up(member: Member) -> Iterator[None]:
    """A member that diverges here ends, and the others go on."""
    try:
        yield
    except NonFiniteError as error:
        member.give_up(error)
        print(f"{member.shown}: {error}", file=sys.stderr)


def _show(members: Sequence[Member], epoch: int, epochs: int, seconds: float) -> None:
    """One line: how the validation's number that chooses weights stands in each member."""
    measured = [name for name in members[0].trainer.callback_metrics if name.startswith("val/")]
    metric = members[0].run.settings.monitor.metric or next(iter(measured), "")
    values = ["failed" if m.failure else f"{m.trainer.callback_metrics[metric].item():.4g}" for m in members]
    step = max(m.trainer.global_step for m in members)
    print(f"epoch {epoch}/{epochs}  step {step}  {metric} {' '.join(values)}  {seconds:.0f} s", flush=True)
