"""Training throughput of aelab against a floor that nothing can beat, and against its peers.

The floor is a hand-written torch model of the same function: forward, backward and a fused Adam step on one
resident batch, in a loop. All contenders of a model are measured in random order in each of several rounds,
in one process and on one thread, and compared within their round; the floor is measured twice in each. Where
the machine was too noisy for the comparison to mean anything, this says so and exits with status 2.

`python scripts/benchmark.py --models tiny mlp_128 --json results.json`; `--profile tiny` shows where the time
of one step goes instead.
"""

import argparse
import contextlib
import cProfile
import gc
import importlib.util
import json
import logging
import os
import platform
import pstats
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from aelab.runs.train import quieten
from benchmarks import hand, ours
from benchmarks.hand import Case

Contender = Callable[[Case, int], float]
Rounds = Sequence[Mapping[str, float]]  # for each round, seconds for a step by contender

FLOOR, AGAIN, OURS, PEER = "fused floor", "fused floor, again", "aelab, logging on", "pythae 0.1.2"
DISAGREEMENT, DRIFT = 0.10, 0.15  # of the floor: within the median round, between the quartiles of all rounds

CASES = {
    case.name: case
    for case in (
        Case(
            name="mlp_128",
            batch_size=128,
            event=(784,),
            networks=lambda: hand.mlp(784, (512, 256), 16),
            overrides=("network=mlp", "latent=16"),
            steps=300,
            target=0.93,
            peer_target=1.3,
        ),
        Case(
            name="mlp_512",
            batch_size=512,
            event=(784,),
            networks=lambda: hand.mlp(784, (512, 256), 16),
            overrides=("network=mlp", "latent=16"),
            steps=100,
        ),
        Case(
            name="conv",
            batch_size=128,
            event=(1, 28, 28),
            networks=lambda: hand.conv((32, 64), 32),
            overrides=("network=conv",),
            steps=100,
            target=0.93,
        ),
        Case(
            name="tiny",
            batch_size=8,
            event=(784,),
            networks=lambda: hand.mlp(784, (8, 8), 4),
            overrides=("network=mlp", "latent=4", "model.encoder.widths=[8,8]", "model.decoder.widths=[8,8]"),
            steps=3000,
            target=0.80,
        ),
    )
}


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # a floor that overfits its batch would be slowed by them, others not
    quieten()
    if arguments.profile:
        case = CASES[arguments.profile]
        profile(case, arguments.steps or case.steps)
        return 0
    console = Console(width=110, highlight=False)
    load = _load()
    console.print(f"{_processor()}, torch {torch.__version__}, 1 thread; load average before {load}")
    results = {name: _measured(CASES[name], arguments, console) for name in arguments.models}
    console.print(f"load average after {_load()}")
    if arguments.json:
        report = {"load_average_before": load, "load_average_after": _load(), **_report(results)}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(not noise(rounds) for rounds in results.values()) else 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 for results that mean something")
    parser.add_argument("--steps", type=int, help=f"of a measurement, a multiple of {hand.LOG_EVERY}")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the contenders")
    parser.add_argument("--json", type=Path, help="where every measurement is written")
    parser.add_argument("--profile", choices=CASES, help="profile aelab with logging on, and stop")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    most = _most_steps([arguments.profile] if arguments.profile else arguments.models)
    if arguments.steps is not None and arguments.steps not in range(hand.LOG_EVERY, most + 1, hand.LOG_EVERY):
        parser.error(f"--steps must be a multiple of {hand.LOG_EVERY} and at most {most}, one epoch's")
    return arguments


def _most_steps(models: Sequence[str]) -> int:
    """That an epoch has room for in all these models, with the warm-up and one step after the last."""
    return (min(ours.batches(CASES[name]) for name in models) - 1) * 10 // 11


def contenders() -> dict[str, Contender]:
    """All that can be measured here, in the order of the table."""
    found: dict[str, Contender] = {
        "floor, default Adam": hand.floor,
        FLOOR: hand.fused_floor,
        AGAIN: hand.fused_floor,
        "aelab's loop, no Lightning": ours.bare,
        "aelab, logging off": ours.quiet,
        OURS: ours.logged,
        "Lightning, stock": hand.lightning,
    }
    if importlib.util.find_spec("pythae"):
        from benchmarks.peer import pythae

        found[PEER] = pythae
    return found


def _measured(case: Case, arguments: argparse.Namespace, console: Console) -> Rounds:
    steps = arguments.steps or case.steps
    dice = random.Random(f"{arguments.seed}/{case.name}")
    with _silence():
        ours.check_equal(case)
        _round(case, hand.LOG_EVERY, dice)  # not counted: it imports what only a first log line or step needs
        rounds = [_round(case, steps, dice) for _ in range(arguments.rounds)]
    console.print(table(case, steps, rounds))
    for line in (*targets(case, rounds), *noise(rounds)):
        console.print(line)
    console.print()
    return rounds


def _round(case: Case, steps: int, dice: random.Random) -> dict[str, float]:
    """Seconds for a step by contender, measured in random order."""
    order = list(contenders().items())
    dice.shuffle(order)
    return {name: _alone(contender, case, steps) for name, contender in order}


def _alone(contender: Contender, case: Case, steps: int) -> float:
    """A measurement that neither the settings nor the garbage of the one before reaches."""
    torch.use_deterministic_algorithms(False)
    torch.manual_seed(0)
    gc.collect()
    return contender(case, steps)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What trainings print goes nowhere."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with Path(os.devnull).open("w") as nowhere:
        try:
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                yield
        finally:
            logging.disable(before)


def floors(rounds: Rounds) -> list[float]:
    """Seconds for a step of the floor in each round: the mean of its two measurements."""
    return [(times[FLOOR] + times[AGAIN]) / 2 for times in rounds]


def ratios(rounds: Rounds, name: str) -> list[float]:
    """Throughput of a contender in units of the floor's, in each round."""
    return [floor / times[name] for floor, times in zip(floors(rounds), rounds, strict=True)]


def table(case: Case, steps: int, rounds: Rounds) -> Table:
    """One row a contender."""
    title = f"{case.name}: batches of {case.batch_size}, {len(rounds)} rounds of {steps} steps"
    shown = Table("contender", "us/step", "images/s", "of fused floor", "min", "max", title=title)
    for column in shown.columns[1:]:
        column.justify = "right"
    for name in contenders():
        seconds = statistics.median(times[name] for times in rounds)
        share = ratios(rounds, name)
        spread = (statistics.median(share), min(share), max(share))
        speed = (f"{1e6 * seconds:,.0f}", f"{case.batch_size / seconds:,.0f}")
        shown.add_row(name, *speed, *(f"{value:.3f}" for value in spread))
    if PEER not in contenders():
        shown.add_row(PEER, "not installed")
    return shown


def targets(case: Case, rounds: Rounds) -> Iterator[str]:
    """What aelab with its logging on is held to, and whether it is reached."""
    if case.target is not None:
        yield _verdict(f"{OURS} / {FLOOR}", ratios(rounds, OURS), case.target)
    if PEER in contenders():
        against = [times[PEER] / times[OURS] for times in rounds]
        yield _verdict(f"{OURS} / {PEER}", against, case.peer_target)


def _verdict(what: str, values: Sequence[float], target: float | None) -> str:
    median = statistics.median(values)
    found = f"{what}: {median:.3f} ({min(values):.3f} to {max(values):.3f})"
    if target is None:
        return found
    return f"{found}, target {target}: {'reached' if median >= target else 'not reached'}"


def noise(rounds: Rounds) -> list[str]:
    """Why the floor cannot be trusted; nothing where it can."""
    both = [(times[FLOOR], times[AGAIN]) for times in rounds]
    apart = statistics.median(abs(a - b) / min(a, b) for a, b in both)
    alike = sorted(floors(rounds))
    low, _, high = statistics.quantiles(alike, method="inclusive") if len(alike) > 1 else alike * 3
    drift = (high - low) / statistics.median(alike)
    found = {
        f"the floor's two measurements differ by {apart:.0%} in the median round": apart > DISAGREEMENT,
        f"the floor's quartiles lie {drift:.0%} of its median apart": drift > DRIFT,
    }
    return [f"TOO NOISY TO TRUST: {reason}" for reason, true in found.items() if true]


def profile(case: Case, steps: int) -> None:
    """Print the 40 functions in which a step of aelab with logging on spends most time of its own."""
    profiler = cProfile.Profile()
    with _silence():
        ours.train_logged(case, steps, hand.Span(steps, profiler.enable, profiler.disable))
    print(f"{case.name}: {steps} steps; divide by that for one")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def _report(results: Mapping[str, Rounds]) -> dict[str, object]:
    return {
        "processor": _processor(),
        "torch": torch.__version__,
        "seconds_per_step": {name: list(rounds) for name, rounds in results.items()},
        "of_fused_floor": {
            name: {contender: statistics.median(ratios(rounds, contender)) for contender in contenders()}
            for name, rounds in results.items()
        },
        "noise": {name: noise(rounds) for name, rounds in results.items()},
    }


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def _load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())
