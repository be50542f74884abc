"""The cost of a study: its time, by the speed of runs that were timed on this machine."""

import contextlib
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from aelab.cluster.processes import threads_each
from aelab.config.recorded import recorded_settings
from aelab.core.errors import AelabError
from aelab.core.paths import from_user
from aelab.core.terminal import from_here
from aelab.core.text import listed, sentence
from aelab.runs.folder import RunFolder, Status
from aelab.runs.provenance import hardware
from aelab.sweeps.hydra_jobs import HydraJobs
from aelab.sweeps.plan import Plan
from aelab.sweeps.preflight import Preflight, evenly_spread, preflights

SAMPLED = 4
"""Trainings of a study whose time is estimated; the others are taken to last as long on average."""
NEWEST = 50
"""Runs of one name that are considered."""
SHARE = 0.1
"""Least share of a training's images that a run must have seen: in a shorter one start and end weigh most."""


@dataclass(frozen=True)
class TimedRun:
    """A finished run that was timed on this machine."""

    folder: RunFolder
    seconds: float
    images: float
    flops_per_image: float | None
    threads: int

    def seconds_of(self, training: Preflight) -> float:
        """The seconds of a training at this run's speed, in proportion to its images and operations."""
        assert training.images is not None
        return self.seconds / self.images * training.images * math.exp(self.distance(training))

    def distance(self, training: Preflight) -> float:
        """The logarithm of a training's operations per image over the run's; 0 where it is not known."""
        if not (self.flops_per_image and training.flops_per_image):
            return 0.0
        return math.log(training.flops_per_image / self.flops_per_image)


def cost(plan: Plan, jobs: HydraJobs, points: Sequence[Sequence[str]], trials: int) -> str:
    """The time that `trials` like these take, as a sentence with the run that was timed; or why unknown."""
    trainings = [training for overrides in points for training in plan.trainings(overrides)]
    chosen = [jobs.compose(trainings[index]) for index in evenly_spread(len(trainings), SAMPLED)]
    try:
        found = preflights(chosen, fetch=False)
    except AelabError as error:
        return f"unknown: the first trainings cannot be tried here ({sentence(error)})"
    seconds, by = [], {}
    workers = min(plan.options["workers"], trials)
    for config, training in zip(chosen, found, strict=True):
        if training.images is None:
            return "unknown: the trainings have no planned end"
        run = _nearest(config, training, int(config.threads or threads_each(workers * plan.ranks)))
        if run is None:
            return f"unknown: no finished run of {config.name} below {plan.outputs} was timed on this machine"
        seconds.append(run.seconds_of(training))
        by[run.folder.path] = run.threads
    each = sum(seconds) / len(seconds)
    total = each * max(len(plan.over), 1) * math.ceil(trials / workers)
    shared = f" with {workers} workers" if workers > 1 else ""
    return f"{_bound(plan, chosen)} {duration(total)}{shared} ({_reason(by, chosen, workers * plan.ranks)})"


def duration(seconds: float) -> str:
    """A time for people: 40 s, 12 min, 2 h 10 min, 3 d 4 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 60 * 48:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def _bound(plan: Plan, configs: Sequence[DictConfig]) -> str:
    stops = plan.options["pruner"] or any("early_stopping" in (c.get("callbacks") or {}) for c in configs)
    return "at most about" if stops else "about"


def _reason(by: Mapping[Path, int], configs: Sequence[DictConfig], processes: int) -> str:
    words = f"by the speed of {listed(map(from_here, by), 1)}"
    threads = {int(config.threads or threads_each(processes)) for config in configs}
    other = sorted(set(by.values()) - threads)
    if other:
        words += f", which had {other[0]} threads where these will have {min(threads)}"
    return words


def _nearest(config: DictConfig, training: Preflight, threads: int) -> TimedRun | None:
    """The run of this name, data and device that is most like a training; None where there is none."""
    assert training.images is not None
    least = SHARE * training.images

    def unlike(run: TimedRun) -> tuple[bool, bool, float]:
        return run.images < least, run.threads != threads, round(abs(run.distance(training)), 1)

    runs = RunFolder.named(from_user(config.outputs), str(config.name))[:NEWEST]
    timed = (found for run in runs if (found := _timed(run, config)) is not None)
    return min(timed, key=unlike, default=None)


def _timed(run: RunFolder, config: DictConfig) -> TimedRun | None:
    """The run with its time; None where it is unfinished or of other data, another device or machine."""
    with contextlib.suppress(AelabError, ValueError, TypeError):
        record = run.read()
        if run.status is not Status.FINISHED or not _is_here(record) or not _is_alike(run, config):
            return None
        seconds, images = float(record["seconds"]), float(record["samples_seen"])
        return TimedRun(run, seconds, images, record.get("flops_per_image"), int(record["threads"]))
    return None


def _is_here(record: Mapping[str, Any]) -> bool:
    ours, theirs = _machine(), record.get("hardware") or {}
    timed = record.get("seconds") and record.get("samples_seen") and record.get("threads")
    return bool(timed) and all(theirs.get(part) == ours[part] for part in ("cpu", "cpu_count", "gpus"))


@functools.cache
def _machine() -> dict[str, Any]:
    return hardware()


def _is_alike(run: RunFolder, config: DictConfig) -> bool:
    theirs = recorded_settings(run.config)
    alike = ("data.name", "trainer.accelerator", "trainer.precision")
    return all(OmegaConf.select(theirs, key) == OmegaConf.select(config, key) for key in alike)
