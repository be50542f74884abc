"""The negative log-likelihood by importance sampling, of the same weights and images: aelab and pythae."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from rich.table import Table
from torch import Tensor

from aelab.core.records import Batch
from aelab.evaluation.subject import BLOCK
from aelab.metrics.importance import importance_sampled
from aelab.runs.build import build
from aelab.training.matmul import choose_matmul
from benchmarks.hand import Case, clock, pixels
from benchmarks.ours import configuration
from benchmarks.rounds import verdict

OBSERVATIONS, CODES = 16, 2000
TARGET = 5.0
OURS, STOCK, PEER = "aelab", "aelab, torch's own matrix products", "pythae 0.1.2, get_nll"


@dataclass(frozen=True)
class Found:
    """One measurement: microseconds for each code, and the estimate in nats."""

    microseconds: float
    nll: float


def measured(case: Case, rounds: int) -> list[dict[str, Found]]:
    """In each round: every contender, one after the other."""
    from benchmarks.peer import model_of

    parts = build(configuration(case, case.steps))
    model = parts.training.model.eval()
    theirs = model_of(case).eval()
    with torch.no_grad():
        copies = [*theirs.encoder.parameters(), *theirs.decoder.parameters()]
        for mine, copied in zip(model.parameters(), copies, strict=True):
            copied.copy_(mine)
    x = (pixels(OBSERVATIONS).float() / 255).round()

    def ours() -> float:
        return -importance_sampled(model, Batch(x), CODES)[0].mean().item()

    def peer() -> float:
        flat: Tensor = x.view(-1, *case.event)
        return -float(theirs.get_nll(flat, n_samples=CODES))  # it gives log p, whatever its name says

    found = []
    for _ in range(rounds + 1):
        choose_matmul(model, BLOCK)
        fast = _timed(ours)
        torch.set_float32_matmul_precision("highest")
        found.append({OURS: fast, STOCK: _timed(ours), PEER: _timed(peer)})
    return found[1:]  # the first paid for what only a first call needs


def _timed(estimate: Callable[[], float]) -> Found:
    torch.manual_seed(0)
    with torch.no_grad():
        start = clock()
        nll = estimate()
        return Found(1e6 * (clock() - start) / (OBSERVATIONS * CODES), nll)


def table(results: Mapping[str, Sequence[Mapping[str, Found]]]) -> Table:
    """One row for each model and contender."""
    title = f"NLL of {OBSERVATIONS} images, {CODES} codes of each"
    shown = Table("model", "contender", "CPU us/code", "times pythae's speed", "NLL, nats", title=title)
    for column in shown.columns[2:]:
        column.justify = "right"
    for name, rounds in results.items():
        for contender in rounds[0]:
            speed = _speeds(rounds, contender)
            cost = statistics.median(each[contender].microseconds for each in rounds)
            spread = f"{statistics.median(speed):.2f} ({min(speed):.2f} to {max(speed):.2f})"
            shown.add_row(name, contender, f"{cost:.2f}", spread, f"{rounds[0][contender].nll:.2f}")
    return shown


def verdicts(results: Mapping[str, Sequence[Mapping[str, Found]]]) -> list[str]:
    """Whether aelab is so many times as fast as asked for."""
    lines = []
    for name, rounds in results.items():
        speed = _speeds(rounds, OURS)
        found = f"{name}: {statistics.median(speed):.2f} times as fast as pythae, target {TARGET}"
        lines.append(f"{found}: {verdict(speed, TARGET)}")
    return lines


def _speeds(rounds: Sequence[Mapping[str, Found]], contender: str) -> list[float]:
    """How many times as fast as pythae a contender is, in each round."""
    return [each[PEER].microseconds / each[contender].microseconds for each in rounds]
