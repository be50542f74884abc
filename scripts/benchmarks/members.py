"""Many models at once: the throughput of K members trained together against K runs one after another."""

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory

from rich.table import Table

from aelab.core.signals import Signals
from aelab.runs.vectorised import opened, prepared
from benchmarks import ours
from benchmarks.hand import LOG_EVERY, Case, timed
from benchmarks.rounds import Reference, Rounds, measure, silence, verdict

Contender = Callable[[Case, int], float]

ALONE = Reference("aelab, one run", "aelab, one run, again")
FLOOR = "fused floor"
MEMBERS, TARGET = 8, 4.0  # together at least so many times as fast as one after another


def measured(
    case: Case, members: Sequence[int], floor: Contender, rounds: int, steps: int, seed: int
) -> Rounds:
    """Seconds for a step: of the floor, of one run, and of all members for each number of them."""
    # W&B on neither side: what is compared is training, and its start for each member is none.
    case = replace(case, overrides=(*case.overrides, "logger.wandb.mode=disabled"))
    contenders: dict[str, Contender] = {
        FLOOR: floor,
        ALONE.first: ours.logged,
        ALONE.again: ours.logged,
        **{_name(count): together(count) for count in members},
    }
    dice = random.Random(f"{seed}/members")
    with silence():
        measure(contenders, case, LOG_EVERY, dice)  # not counted: it imports
        return [measure(contenders, case, steps, dice) for _ in range(rounds)]


def _name(count: int) -> str:
    return f"{count} together"


def together(count: int) -> Contender:
    """A step of `count` members with folders, journals and callbacks, as `trainer=vectorised` takes it."""

    def run(case: Case, steps: int) -> float:
        with TemporaryDirectory() as root, Signals() as signals:
            chosen = ("trainer=vectorised", f"trainer.members.seed={list(range(count))}", f"outputs={root}")
            many = replace(case, overrides=(*case.overrides, *(c.replace(" ", "") for c in chosen)))
            runs = prepared(ours.configuration(many, steps), ours.overrides(many, steps), signals)
            with opened(runs, signals) as members:
                batches = enumerate(runs.epochs.batches.batches(0, runs.epochs.count))

                def step(_: int) -> None:
                    index, batch = next(batches)
                    runs.epochs.advance(batch, 0, index, members)

                return timed(step, steps)

    return run


def speedups(rounds: Rounds, count: int, against: str) -> list[float]:
    """Throughput of `count` members together over that of as many runs in a row, in each round."""
    if against == FLOOR:
        return [count * times[FLOOR] / times[_name(count)] for times in rounds]
    return [count * ratio for ratio in ALONE.ratios(rounds, _name(count))]


def table(case: Case, members: Sequence[int], steps: int, rounds: Rounds) -> Table:
    """One row for each number of members."""
    title = (
        f"{case.name}, trained together: batches of {case.batch_size}, {len(rounds)} rounds of {steps} steps"
    )
    shown = Table(
        "members", "CPU us/step of all", "times runs in a row", "times fused floors in a row", title=title
    )
    alone = statistics.median(ALONE.seconds(rounds)) * 1e6
    shown.add_row("one run, alone", f"{alone:.0f}", "1", _cell(_shares(rounds)))
    for count in members:
        micros = statistics.median(times[_name(count)] for times in rounds) * 1e6
        found = (_cell(speedups(rounds, count, against)) for against in (ALONE.first, FLOOR))
        shown.add_row(str(count), f"{micros:.0f}", *found)
    return shown


def _shares(rounds: Rounds) -> list[float]:
    alone = ALONE.seconds(rounds)
    return [times[FLOOR] / mine for times, mine in zip(rounds, alone, strict=True)]


def _cell(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def targets(members: Sequence[int], rounds: Rounds) -> Iterator[str]:
    """What is held to, and whether it is reached."""
    if MEMBERS in members:
        found = speedups(rounds, MEMBERS, ALONE.first)
        yield f"{MEMBERS} together / {MEMBERS} runs in a row: {_cell(found)}, target {TARGET}: " + verdict(
            found, TARGET
        )
