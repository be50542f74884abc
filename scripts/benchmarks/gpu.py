"""A GPU: how long a step takes, how much of it the device works, and what settings change.

Seconds are those on the wall. On a CPU, where this is a rehearsal, there are no CUDA graphs and no kernels.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from rich.table import Table
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from aelab.core.records import Batch
from aelab.metrics.importance import importance_sampled
from aelab.runs.build import build, make_trainer
from benchmarks import hand, ours
from benchmarks.evidence import CODES, OBSERVATIONS
from benchmarks.hand import LOG_EVERY, Case, floor_step, timed
from benchmarks.members import together
from benchmarks.rounds import Rounds, measure, silence

Contender = Callable[[Case, int], float]
Step = Callable[[int], object]

FLOOR, GRAPH, BARE, NLL = "floor", "floor in a CUDA graph", "aelab's loop", "a code of the NLL"
MAPPED, QUIET, LOGGED = f"{BARE}, images in a memory map", "aelab, logging off", "aelab, logging on"
PROFILED = 20  # steps
SECONDS = 240.0  # after which no round begins
LEFT_OUT = "on a CPU there are no CUDA graphs and no kernels to count: both are left out"


class Kernels(NamedTuple):
    """Of a step, copies among them: how many, and the seconds in which the device works on any."""

    number: float
    busy: float


class Found(NamedTuple):
    """Of a model: seconds of a step by contender in each round, and the kernels of some contenders."""

    rounds: Rounds
    kernels: Mapping[str, Kernels]


def on(case: Case, device: torch.device) -> Case:
    """The case on a device, without W&B, whose process would share the machine."""
    accelerator = "gpu" if device.type == "cuda" else device.type
    return _with(case, f"trainer.accelerator={accelerator}", "logger.wandb.mode=disabled")


def _with(case: Case, *more: str) -> Case:
    return replace(case, overrides=(*case.overrides, *more))


def now(device: torch.device) -> float:
    """Seconds on the wall, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def wall_clock(device: torch.device) -> Iterator[None]:
    """All that is timed here is so by `now`, and convolves in float32 unless it is said to do else."""
    before, hand.clock = hand.clock, partial(now, device)
    tf32, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        yield
    finally:
        hand.clock, torch.backends.cudnn.allow_tf32 = before, tf32


def bare_step(case: Case, steps: int, device: torch.device) -> Step:
    """A step of aelab's loader, model and objective in a plain loop."""
    config = ours.configuration(case, steps)
    parts = build(config)
    alone: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    parts.data.trainer = make_trainer(config, **alone)  # it tells the images' device
    return ours.bare_step(parts, device)


def graphed(step: Step) -> Step:
    """A step captured in a CUDA graph, after the few that its warm-up asks for on a stream of its own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for index in range(3):
            step(index)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(0)
    return lambda _: graph.replay()


def kernels(step: Step, device: torch.device) -> Kernels:
    """What the device was given in each of some steps, after as many others."""
    for index in range(PROFILED):
        step(index)
    now(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        for index in range(PROFILED, 2 * PROFILED):
            step(index)
        now(device)
    given = (e for e in found.events() if e.device_type == DeviceType.CUDA and not e.is_user_annotation)
    spans = [(event.time_range.start, event.time_range.end) for event in given]
    return Kernels(len(spans) / PROFILED, 1e-6 * busy(spans) / PROFILED)


def busy(spans: Sequence[tuple[float, float]]) -> float:
    """The length of all that spans cover, overlaps once."""
    covered, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0, end - max(start, until))
        until = max(until, end)
    return covered


def nll(case: Case, steps: int, device: torch.device) -> float:
    """Seconds for each code of the likelihood by importance sampling."""
    model = build(ours.configuration(case, LOG_EVERY)).training.model.eval().to(device)
    batch = Batch((hand.pixels(OBSERVATIONS).float() / 255).round().to(device))
    with torch.no_grad():
        seconds = timed(lambda _: importance_sampled(model, batch, CODES), max(1, steps // 40))
    return seconds / (OBSERVATIONS * CODES)


def quiet(case: Case, steps: int, *more: str, tf32: bool = False) -> float:
    """aelab in Lightning's Trainer without logging; tf32: whether products and convolutions may round so."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        return ours.quiet(_with(case, *more), steps)
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def contenders(case: Case, device: torch.device, members: Sequence[int]) -> dict[str, Contender]:
    """All that is measured of a case; members: so many of the smallest model together."""
    mapped = "data.source._target_=benchmarks.ours.Mapped"
    found: dict[str, Contender] = {
        FLOOR: lambda case, steps: timed(floor_step(case, device, True), steps),
        GRAPH: lambda case, steps: timed(graphed(floor_step(case, device, True)), steps),
        BARE: lambda case, steps: timed(bare_step(case, steps, device), steps),
        MAPPED: lambda case, steps: timed(bare_step(_with(case, mapped), steps, device), steps),
        LOGGED: ours.logged,
        QUIET: quiet,
        f"{QUIET}, TF32": partial(quiet, tf32=True),
        f"{QUIET}, bf16": lambda case, steps: quiet(case, steps, "trainer.precision=bf16-mixed"),
        f"{QUIET}, not deterministic": lambda case, steps: quiet(case, steps, "trainer.deterministic=false"),
        **{f"{count} members together": together(count) for count in members if case.name == "tiny"},
        NLL: partial(nll, device=device),
    }
    if device.type != "cuda":
        del found[GRAPH]
    return found


def measured(
    case: Case, device: torch.device, members: Sequence[int], rounds: int, steps: int, until: float
) -> Found:
    """At least one round, and no other that would begin after the moment `until`."""
    case, dice = on(case, device), random.Random(case.name)
    found: list[dict[str, float]] = []
    with silence(), wall_clock(device):
        chosen = contenders(case, device, members)
        while len(found) < rounds and (not found or time.perf_counter() < until):
            found.append(measure(chosen, case, steps, dice))
        if device.type != "cuda":
            return Found(found, {})
        tried = {FLOOR: floor_step(case, device, True), BARE: bare_step(case, LOG_EVERY, device)}
        return Found(found, {name: kernels(step, device) for name, step in tried.items()})


def table(results: Mapping[str, Found]) -> Table:
    """One row for each model and contender."""
    shown = Table("model", "contender", "us", "times the floor's", "kernels", "idle")
    for name, (rounds, counted) in results.items():
        floor = statistics.median(times[FLOOR] for times in rounds)
        for contender in rounds[0]:
            seconds = statistics.median(times[contender] for times in rounds)
            of_floor = "" if contender == NLL else f"{seconds / floor:.2f}"
            kind = counted.get(contender)
            rest = ("", "") if kind is None else (f"{kind.number:.0f}", f"{1 - kind.busy / seconds:.0%}")
            shown.add_row(name, contender, f"{1e6 * seconds:,.2f}", of_floor, *rest)
    return shown
