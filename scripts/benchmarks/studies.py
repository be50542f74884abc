"""What a sweep costs besides its trainings: the study's record, and the start of a trial."""

import multiprocessing
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.trial import TrialState
from rich.table import Table

from aelab.sweeps.storage import open_storage
from aelab.sweeps.study import StudyRecord, open_study

TRAIN = Path(__file__).parents[1] / "train.py"
# The smallest training with all that a run does: its cost is its start and its end.
SMALL = (
    "network=mlp_32",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "logger.wandb.mode=offline",
)
STARTED = 8  # trials of the sweep whose starts are measured


@dataclass(frozen=True)
class Kept:
    """A study of trials that do nothing. seconds: until all ended; cpu: of all processes; size: bytes."""

    trials: int
    workers: int
    seconds: float
    cpu: float
    size: int


def kept(trials: int, workers: int, storage: str | None) -> Kept:
    """Have so many processes share a grid, each over a connection of its own.

    storage: a database's URL, or None for a journal.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with TemporaryDirectory() as name:
        folder = Path(name)
        study = partial(_record, storage, folder, f"benchmark-{time.time_ns()}")
        study().enqueue([f"seed={seed}"] for seed in range(trials))
        fork = multiprocessing.get_context("fork")
        processes = [fork.Process(target=_work, args=(study,)) for _ in range(workers)]
        began, before = time.monotonic(), _cpu()
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        seconds, cpu = time.monotonic() - began, _cpu() - before
        done = [trial.state for trial in study().trials()]
        assert done == [TrialState.COMPLETE] * trials, "a trial was lost"
        return Kept(trials, workers, seconds, cpu, sum(file.stat().st_size for file in folder.iterdir()))


def _record(storage: str | None, folder: Path, name: str) -> StudyRecord:
    study = open_study(name, open_storage(storage, folder), {"val/elbo": "maximize"}, {})
    return StudyRecord(study, None, 0)


def _work(study: partial[StudyRecord]) -> None:
    """Take trials until none is left, and tell of each what a training tells."""
    record = study()
    while (trial := record.claim()) is not None:
        trial.set_user_attr("run", "outputs/vae_digits/2026-01-31_12-00-00")
        record.end(trial, TrialState.COMPLETE, values=[0.0])


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def studies_table(found: Sequence[Kept], storage: str | None) -> Table:
    """One row a study."""
    title = f"the record of a study in {'a database' if storage else 'a journal'}"
    table = Table("trials", "processes", "ms/trial", "CPU ms/trial", "kB/trial", title=title)
    for each in found:
        per = 1000 / each.trials
        size = f"{each.size / each.trials / 1000:.2f}" if not storage else ""
        cells = (f"{each.seconds * per:.1f}", f"{each.cpu * per:.1f}", size)
        table.add_row(str(each.trials), str(each.workers), *cells)
    return table


@dataclass(frozen=True)
class Spent:
    """Of a command and its children, in seconds, and what it left: files and their bytes."""

    seconds: float
    cpu: float
    files: int
    size: int


def started() -> tuple[Spent, ...]:
    """The smallest training as a command, a sweep of one, and a sweep of `1 + STARTED`."""
    sweeps = [_spent("-m", f"seed=range(0,{count})") for count in (1, 1 + STARTED)]
    return _spent("seed=0"), *sweeps


def _spent(*arguments: str) -> Spent:
    with TemporaryDirectory() as folder:
        command = [sys.executable, str(TRAIN), *arguments, *SMALL, f"outputs={folder}"]
        began, before = time.monotonic(), _cpu()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds, cpu = time.monotonic() - began, _cpu() - before
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return Spent(seconds, cpu, len(files), sum(path.stat().st_size for path in files))


def verdicts(command: Spent, first: Spent, many: Spent) -> Iterator[str]:
    """A trial among others against a command of its own."""
    seconds, cpu = (many.seconds - first.seconds) / STARTED, (many.cpu - first.cpu) / STARTED
    yield (
        f"a training of one step: {command.seconds:.1f} s ({command.cpu:.1f} s CPU) as a command, "
        f"{seconds:.2f} s ({cpu:.2f} s CPU) as a trial: {command.seconds / seconds:.1f} times as fast"
    )
    yield (
        f"a trial leaves {(many.files - first.files) / STARTED:.0f} files, "
        f"{(many.size - first.size) / STARTED / 1e6:.2f} MB"
    )
