"""Progress: one line for each validation, and on a terminal a bar below the lines."""

import math
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from aelab.training.measured import epoch_of

REDRAWN = 0.1  # seconds between two looks at the bar


class Lines(Callback):
    """Prints each validation's numbers, the best so far marked, and the time left, at most once a second."""

    pause = 1.0  # seconds between two lines

    def __init__(self) -> None:
        self.started = self.printed = time.monotonic()
        self.before = 0  # batches of the run before this process
        self.best: float | None = None

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started, self.before = time.monotonic(), _done(trainer)

    @rank_zero_only
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        values = {k.removeprefix("val/"): v.item() for k, v in _validated(trainer).items()}
        monitor, is_best = self._monitored(trainer, values)
        epoch = epoch_of(trainer) + 1
        if time.monotonic() - self.printed < self.pause and epoch != trainer.max_epochs:
            return
        self.printed = time.monotonic()
        first = sorted(values, key=lambda name: name != monitor)  # what chooses the weights
        numbers = [f"{name} {values[name]:.4g}" for name in first]
        self.show(_epoch(trainer, epoch), trainer.global_step, numbers, is_best, self.time(trainer))

    def show(self, epoch: str, step: int, numbers: list[str], is_best: bool, clock: str) -> None:
        """Print one validation."""
        marked = ["best"] if is_best else []
        print("  ".join([epoch, f"step {step}", *numbers, *marked, clock]), flush=True)

    def time(self, trainer: Trainer) -> str:
        """What is left at this pace; where no end is known, the time since the start."""
        elapsed, done, total = time.monotonic() - self.started, _done(trainer), _total(trainer)
        if total is None or done == self.before:
            return clock(elapsed)
        return f"{clock(elapsed * (total - done) / (done - self.before))} left"

    def _monitored(self, trainer: Trainer, values: dict[str, float]) -> tuple[str, bool]:
        """The name of the number that chooses the weights, and whether it is the best since the start."""
        keeper: Any = trainer.checkpoint_callback
        name = str(getattr(keeper, "monitor", None) or "").removeprefix("val/")
        if name not in values or not math.isfinite(values[name]):
            return name, False
        sign = -1 if keeper.mode == "min" else 1
        is_best = self.best is None or sign * values[name] > sign * self.best
        self.best = values[name] if is_best else self.best
        return name, is_best


class Bar(Lines):
    """The same for a terminal: a line for every validation, and below them a bar."""

    pause = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(highlight=False, markup=False)
        self.looked = 0.0
        self.bar: Progress | None = None
        self.task = TaskID(0)

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        text = TextColumn("{task.description}"), TextColumn("{task.fields[left]}", style="dim")
        columns = text[0], BarColumn(None), MofNCompleteColumn(), text[1]
        self.bar = Progress(*columns, console=self.console, transient=True, refresh_per_second=8)
        self.task = self.bar.add_task(
            f"epoch {_epoch(trainer, trainer.current_epoch + 1)}", left="", total=None
        )
        self.bar.start()

    @rank_zero_only
    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.bar is None or time.monotonic() - self.looked < REDRAWN:
            return
        self.looked = time.monotonic()
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.completed + 1
        self.bar.update(
            self.task,
            description=_epoch(trainer, trainer.current_epoch + 1),
            completed=batches,
            total=int(trainer.num_training_batches),
            left=self.time(trainer),
        )

    def show(self, epoch: str, step: int, numbers: list[str], is_best: bool, clock: str) -> None:
        """Print as many of the numbers as fit on a line, the one that chooses the weights first."""
        room = self.console.width - len(f"{epoch}  best  {clock}")
        while len(numbers) > 1 and sum(len(number) + 2 for number in numbers) > room:
            numbers = numbers[:-1]
        line = Text("  ".join([epoch, *numbers])).append("  best" if is_best else "", "bold green")
        self.console.print(line.append(f"  {clock}", "dim"), soft_wrap=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def progress(terminal: bool) -> Lines:
    """A bar below lines on a terminal; plain lines elsewhere."""
    return Bar() if terminal else Lines()


def clock(seconds: float) -> str:
    """A duration as people read it: 0:42, 12:03, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _validated(trainer: Trainer) -> dict[str, Any]:
    return {k: v for k, v in trainer.callback_metrics.items() if k.startswith("val/")}


def _epoch(trainer: Trainer, epoch: int) -> str:
    return f"epoch {epoch}/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else f"epoch {epoch}"


def _done(trainer: Trainer) -> int:
    """Batches trained on so far, over all resumes."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.completed


def _total(trainer: Trainer) -> int | None:
    """Batches of the whole training; None where only a time or an early stop ends it."""
    ends = []
    if (trainer.max_epochs or -1) > 0:
        ends.append(int((trainer.max_epochs or 0) * trainer.num_training_batches))
    if trainer.max_steps > 0:
        module: Any = trainer.lightning_module
        ends.append(trainer.max_steps * module.accumulate)
    return min(ends, default=None)
