"""Any composition of aelab's parts: training with all logging on against the same parts in a bare loop."""

import itertools
import random
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from rich.table import Table

from aelab.core.errors import ConfigurationError
from aelab.runs.build import build
from aelab.training.adversarial import Adversarial
from aelab.training.standard import Standard
from benchmarks import ours
from benchmarks.hand import LOG_EVERY, Composition
from benchmarks.rounds import Reference, Rounds, cells, empty_table, measure, silence, verdict

BARE = Reference("bare loop", "bare loop, again")
OURS = "aelab, logging on"
CONTENDERS = {BARE.first: ours.bare, BARE.again: ours.bare, OURS: ours.logged}
TARGET = 0.90  # of the bare loop's throughput: at most a tenth slower
SECONDS = 2.0  # what one measurement should take; more where LOG_EVERY steps take longer


def compositions(overrides: Sequence[str]) -> list[Composition]:
    """One for each combination of the values that commas separate, as in a sweep by Hydra.

    Raises ConfigurationError for what cannot be composed or has no bare loop.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigurationError(str(error)) from error
    for key in (override.get_key_element() for override in parsed):
        if key == "data" or (key.startswith("data.") and key != "data.batch_size"):
            raise ConfigurationError(f"{key}: the images are synthetic; of data only data.batch_size is free")
    lines = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [str(override.input_line)]
        for override in parsed
    ]
    return [_composition(chosen) for chosen in itertools.product(*lines)]


def _composition(overrides: tuple[str, ...]) -> Composition:
    config = ours.configuration(Composition(name=" ".join(overrides), overrides=overrides), LOG_EVERY)
    with silence():
        training = build(config).training
    if not isinstance(training, Standard | Adversarial) or getattr(training, "rounds", 1) > 1:
        raise ConfigurationError(
            f"{' '.join(overrides)}: there is no bare loop for {type(training).__name__} of several rounds"
        )
    return Composition(name=" ".join(overrides), overrides=overrides, batch_size=config.data.batch_size)


def rounds_of(case: Composition, rounds: int, steps: int | None, seed: int) -> tuple[int, Rounds]:
    """How many steps made one measurement, and the measurements."""
    dice = random.Random(f"{seed}/{case.name}")
    with silence():
        first = measure(CONTENDERS, case, LOG_EVERY, dice)  # not counted: it imports, and tells the pace
        chosen = steps or _steps(case, first[BARE.first])
        return chosen, [measure(CONTENDERS, case, chosen, dice) for _ in range(rounds)]


def _steps(case: Composition, seconds: float) -> int:
    wished = min(SECONDS / seconds, ours.most_steps(case))
    return max(1, int(wished / LOG_EVERY)) * LOG_EVERY


def table(measured: Sequence[tuple[Composition, int, Rounds]]) -> Table:
    """Two rows a composition."""
    title = f"{len(measured[0][2])} rounds; target {TARGET} of the bare loop's throughput"
    shown = empty_table("composition", "of bare loop", title, "target")
    for case, steps, rounds in measured:
        shown.add_row(f"{case.name} ({steps} steps of {case.batch_size})")
        shown.add_row(f"  {BARE.first}", *cells(case, rounds, BARE.first, BARE))
        found = verdict(BARE.ratios(rounds, OURS), TARGET)
        shown.add_row(f"  {OURS}", *cells(case, rounds, OURS, BARE), found, end_section=True)
    return shown


def noise(measured: Sequence[tuple[Composition, int, Rounds]]) -> Iterator[str]:
    """Which measurements cannot be trusted, and why."""
    for case, _, rounds in measured:
        yield from (f"{case.name}: {line}" for line in BARE.noise(rounds))
