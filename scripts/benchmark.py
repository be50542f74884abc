"""Training throughput of aelab against a floor that nothing can beat, and against its peers.

The floor is a hand-written torch model of the same function: forward, backward and a fused Adam step on one
resident batch, in a loop. All contenders of a model are measured in random order in each of several rounds,
in one process and on one thread, in CPU seconds, and compared within their round; the floor is measured twice
in each. Where the machine was too noisy for the comparison to mean anything, this says so and exits with
status 2. `--bf16` measures what bfloat16 gains instead.

`python scripts/benchmark.py --models tiny mlp_128 --json results.json`; `--profile tiny` shows where the time
of one step goes instead.

`python scripts/benchmark.py variant=vae,beta_vae network=conv` measures whatever can be composed, here two
variants: the training that a user starts, with all its logging, against the same loader, model and objective
in a bare torch loop, in units of that loop's throughput.

`python scripts/benchmark.py --members 1 2 4 8 16` measures `trainer=vectorised`: so many members of the tiny
model together, against as many runs one after another.

`python scripts/benchmark.py --trials 1 10 100 1000 --workers 1 4 16 64` measures what a sweep costs besides
its trainings: its record, in a journal or at `--storage URL`, and the start of a trial.

`python scripts/benchmark.py --nll` measures the likelihood by importance sampling instead, against pythae's.

`python scripts/benchmark.py --gpu --json results.json` measures a GPU in five minutes: steps, kernels,
precisions, members and likelihood, in seconds on the wall; `--device cpu` rehearses it.
"""

import argparse
import cProfile
import importlib.util
import json
import os
import platform
import pstats
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from aelab.core.errors import AelabError
from aelab.runs.fit import quieten
from aelab.training.matmul import choose_matmul
from benchmarks import compositions, evidence, gpu, hand, members, ours, studies
from benchmarks.compositions import OURS
from benchmarks.hand import Case, Composition
from benchmarks.rounds import Reference, Rounds, cells, empty_table, measure, silence, verdict

Contender = Callable[[Case, int], float]

FLOOR = Reference("fused floor", "fused floor, again")
COMPILED, MIXED = "training.compile=step", "trainer.precision=bf16-mixed"
PEER = "pythae 0.1.2"

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

# The sizes whose likelihood most papers quote (Burda, Grosse and Salakhutdinov 2016).
BURDA = Case(
    name="burda",
    batch_size=20,
    event=(784,),
    networks=lambda: hand.mlp(784, (200, 200), 50),
    overrides=(
        "network=mlp",
        "latent=50",
        "model.encoder.widths=[200,200]",
        "model.decoder.widths=[200,200]",
    ),
    steps=500,
)


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
    if arguments.nll:
        return _nll(arguments, console)
    if arguments.gpu:
        return _on_a_gpu(arguments, console)
    if arguments.trials:
        return _swept(arguments, console)
    if arguments.members:
        reference, results = members.ALONE, {"tiny": _together(arguments, console)}
    elif arguments.cases:
        reference, results = compositions.BARE, _compared(arguments.cases, arguments, console)
    else:
        reference = FLOOR
        results = {name: _measured(CASES[name], arguments, console) for name in arguments.models}
    console.print(f"load average after {_load()}")
    if arguments.json:
        report = {"load_average_before": load, "load_average_after": _load(), **_report(results, reference)}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(not reference.noise(rounds) for rounds in results.values()) else 2


def _together(arguments: argparse.Namespace, console: Console) -> Rounds:
    """Members of the smallest model, where a step is all overhead."""
    case, floor = CASES["tiny"], _at_its_best(hand.fused_floor)
    steps = arguments.steps or case.steps
    rounds = members.measured(case, arguments.members, floor, arguments.rounds, steps, arguments.seed)
    console.print(members.table(case, arguments.members, steps, rounds))
    for line in (*members.targets(arguments.members, rounds), *members.ALONE.noise(rounds)):
        console.print(line)
    return rounds


def _nll(arguments: argparse.Namespace, console: Console) -> int:
    """The likelihood's estimate: of the networks of the cases, and of the one that it is quoted for most."""
    if not importlib.util.find_spec("pythae"):
        console.print(f"{PEER} is not installed, and there is nothing to compare with")
        return 2
    with silence():
        cases = [BURDA, *(CASES[name] for name in arguments.models if name != "mlp_512")]
        results = {case.name: evidence.measured(case, arguments.rounds) for case in cases}
    console.print(evidence.table(results))
    for line in evidence.verdicts(results):
        console.print(line)
    console.print(f"load average after {_load()}")
    return 0


def _on_a_gpu(arguments: argparse.Namespace, console: Console) -> int:
    """What a GPU makes of the cases, and where the time of a step goes on it."""
    device, together = torch.device(arguments.device), arguments.members or [1, 8, 64]
    names, steps = arguments.models, arguments.steps or 400
    began, share, results = time.perf_counter(), gpu.SECONDS / len(names), {}
    for index, name in enumerate(names, 1):
        until = began + index * share
        results[name] = gpu.measured(CASES[name], device, together, arguments.rounds, steps, until)
    console.print(gpu.table(results))
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    console.print(f"{on}; rounds of {steps} steps{'' if device.type == 'cuda' else f'; {gpu.LEFT_OUT}'}")
    if arguments.json:
        report = {
            "device": on,
            "torch": torch.__version__,
            "results": {n: found._asdict() for n, found in results.items()},
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _swept(arguments: argparse.Namespace, console: Console) -> int:
    """A sweep's costs: of few and of many trials, in one process and in many."""
    most = max(arguments.trials)
    sizes = [(trials, 1) for trials in arguments.trials] + [(most, n) for n in arguments.workers if n > 1]
    found = [studies.kept(trials, workers, arguments.storage) for trials, workers in sizes]
    console.print(studies.studies_table(found, arguments.storage))
    for line in studies.verdicts(*studies.started()):
        console.print(line)
    console.print(f"load average after {_load()}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="a composition to measure, as train.py takes it")
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument(
        "--members", nargs="+", type=int, metavar="K", help="measure members trained together"
    )
    parser.add_argument("--trials", nargs="+", type=int, metavar="N", help="measure sweeps, and stop")
    parser.add_argument("--workers", nargs="+", type=int, default=[1], help="processes that share a sweep")
    parser.add_argument("--storage", help="a database's URL; left out: a journal")
    parser.add_argument("--nll", action="store_true", help="measure importance sampling, and stop")
    parser.add_argument("--gpu", action="store_true", help="measure a GPU, and stop")
    parser.add_argument(
        "--device", choices=["cuda", "cpu"], default="cuda", help="of --gpu; cpu: a rehearsal"
    )
    parser.add_argument("--bf16", action="store_true", help="measure trainings in bfloat16 instead")
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 for results that mean something")
    parser.add_argument("--steps", type=int, help=f"of a measurement, a multiple of {hand.LOG_EVERY}")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the contenders")
    parser.add_argument("--json", type=Path, help="where every measurement is written")
    parser.add_argument("--profile", choices=CASES, help="profile aelab with logging on, and stop")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    if arguments.gpu and arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--gpu: torch finds no CUDA here; --device cpu rehearses the measurement")
    if arguments.gpu:
        if arguments.overrides or arguments.bf16 or arguments.profile:
            parser.error("--gpu measures models of its own: leave out overrides, --bf16 and --profile")
        arguments.models = [name for name in arguments.models if name != "mlp_512"]
        if not arguments.models:
            parser.error("--gpu measures smaller models than mlp_512: choose of tiny, mlp_128 and conv")
    try:
        arguments.cases = compositions.compositions(arguments.overrides) if arguments.overrides else []
    except AelabError as error:
        parser.error(str(error))
    named = [CASES[name] for name in ([arguments.profile] if arguments.profile else arguments.models)]
    most = min(ours.most_steps(case) for case in arguments.cases or named)
    if arguments.steps is not None and arguments.steps not in range(hand.LOG_EVERY, most + 1, hand.LOG_EVERY):
        parser.error(f"--steps must be a multiple of {hand.LOG_EVERY} and at most {most}, one epoch's")
    return arguments


def contenders(mixed: bool) -> dict[str, Contender]:
    """All that can be measured here, in the order of the table; mixed: in bfloat16, beside the floor."""
    if mixed:
        floors = dict.fromkeys((FLOOR.first, FLOOR.again), _at_its_best(hand.fused_floor))
        return {
            **floors,
            "fused floor, bf16": _at_its_best(hand.mixed_floor),
            f"{OURS}, bf16": ours.logged_with(MIXED),
            f"{OURS}, bf16, step compiled": ours.logged_with(MIXED, COMPILED),
        }
    found: dict[str, Contender] = {
        "floor, default Adam": _at_its_best(hand.floor),
        FLOOR.first: _at_its_best(hand.fused_floor),
        FLOOR.again: _at_its_best(hand.fused_floor),
        "aelab's loop, no Lightning": ours.bare,
        "aelab, logging off": ours.quiet,
        OURS: ours.logged,
        f"{OURS}, step compiled": ours.logged_with(COMPILED),
        "Lightning, stock": _as_it_comes(hand.lightning),
    }
    if importlib.util.find_spec("pythae"):
        from benchmarks.peer import pythae

        found[PEER] = _as_it_comes(pythae)
    return found


def _at_its_best(contender: Contender) -> Contender:
    """The floor, with the matrix products that aelab chooses for its runs."""

    def run(case: Case, steps: int) -> float:
        choose_matmul(case.hand_written(), case.batch_size)
        return contender(case, steps)

    return run


def _as_it_comes(contender: Contender) -> Contender:
    """With torch's own choice of matrix products."""

    def run(case: Case, steps: int) -> float:
        torch.set_float32_matmul_precision("highest")
        return contender(case, steps)

    return run


def _measured(case: Case, arguments: argparse.Namespace, console: Console) -> Rounds:
    steps = arguments.steps or case.steps
    dice = random.Random(f"{arguments.seed}/{case.name}")
    with silence():
        ours.check_equal(case)
        chosen = contenders(arguments.bf16)
        # Not counted: it imports what only a first log line or step needs, and compiles.
        measure(chosen, case, hand.LOG_EVERY, dice)
        rounds = [measure(chosen, case, steps, dice) for _ in range(arguments.rounds)]
    console.print(table(case, steps, rounds))
    for line in (*targets(case, rounds), *FLOOR.noise(rounds)):
        console.print(line)
    console.print()
    return rounds


def table(case: Case, steps: int, rounds: Rounds) -> Table:
    """One row a contender."""
    title = f"{case.name}: batches of {case.batch_size}, {len(rounds)} rounds of {steps} steps"
    shown = empty_table("contender", f"of {FLOOR.first}", title)
    for name in rounds[0]:
        shown.add_row(name, *cells(case, rounds, name, FLOOR))
    if OURS in rounds[0] and PEER not in rounds[0]:
        shown.add_row(PEER, "not installed")
    return shown


def targets(case: Case, rounds: Rounds) -> Iterator[str]:
    """What aelab with its logging on is held to, and whether it is reached."""
    if case.target is not None and OURS in rounds[0]:
        yield _held(f"{OURS} / {FLOOR.first}", FLOOR.ratios(rounds, OURS), case.target)
    if PEER in rounds[0]:
        against = [times[PEER] / times[OURS] for times in rounds]
        yield _held(f"{OURS} / {PEER}", against, case.peer_target)


def _held(what: str, values: Sequence[float], target: float | None) -> str:
    found = f"{what}: {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
    return found if target is None else f"{found}, target {target}: {verdict(values, target)}"


def profile(case: Case, steps: int) -> None:
    """Print the 40 functions in which a step of aelab with logging on spends most time of its own."""
    profiler = cProfile.Profile()
    with silence():
        ours.train_logged(case, steps, hand.Span(steps, profiler.enable, profiler.disable))
    print(f"{case.name}: {steps} steps; divide by that for one")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def _compared(
    cases: Sequence[Composition], arguments: argparse.Namespace, console: Console
) -> dict[str, Rounds]:
    found = [
        (case, *compositions.rounds_of(case, arguments.rounds, arguments.steps, arguments.seed))
        for case in cases
    ]
    console.print(compositions.table(found))
    for line in compositions.noise(found):
        console.print(line)
    return {case.name: rounds for case, _, rounds in found}


def _report(results: Mapping[str, Rounds], reference: Reference) -> dict[str, object]:
    return {
        "processor": _processor(),
        "torch": torch.__version__,
        "seconds_per_step": {name: list(rounds) for name, rounds in results.items()},
        f"of_{reference.first.replace(' ', '_')}": {
            name: {
                contender: statistics.median(reference.ratios(rounds, contender)) for contender in rounds[0]
            }
            for name, rounds in results.items()
        },
        "noise": {name: reference.noise(rounds) for name, rounds in results.items()},
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
