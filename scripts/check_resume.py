"""Kill trainings at random times, resume them, and compare every bit with a training that was left alone.

`python scripts/check_resume.py --trials 20` exits with 0 if all of them end equal. `--without position`
leaves out one ingredient of exact resume, to show that the comparison can fail.
"""

import argparse
import contextlib
import functools
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from aelab.config.compose import compose
from aelab.core.errors import ResumeError
from aelab.core.signals import Signals
from aelab.data.module import DataModule
from aelab.loggers.jsonl import JsonLines
from aelab.runs.fit import quieten
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.train import resume, train
from aelab.training import base
from aelab.training.checkpoints import load, resume_points
from aelab.training.window import Window

OVERRIDES = [
    "data.batch_size=32", "callback=ema", "lr_schedule=cosine", "training.accumulate_grad_batches=2",
    "trainer.max_epochs=4", "trainer.val_check_interval=0.5", "trainer.log_every_n_steps=7", "logger=[]",
    "resume_points.every_batches=3", "pictures.every_n_epochs=2", "threads=1",
]  # fmt: skip
OF_IMAGES = [
    "variant=vae", "corruption=masking", "values=dynamic", "model.encoder.widths=[32]",
    "model.decoder.widths=[32]",
]  # fmt: skip

INGREDIENTS: dict[str, Callable[[], None]] = {
    "position": lambda: setattr(DataModule, "load_state_dict", lambda *_: None),
    "noise": lambda: setattr(base, "seed_generators", lambda *_: None),
    "window": lambda: setattr(Window, "load_state_dict", lambda *_: None),
    "journal": lambda: setattr(JsonLines, "truncate", lambda *_: None),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which trainings are killed")
    parser.add_argument("--without", choices=INGREDIENTS, help="leave out an ingredient of exact resume")
    parser.add_argument("--bare", action="store_true", help="leave out what is of images and an MLP alone")
    parser.add_argument("overrides", nargs="*", help="further overrides of the trained configuration")
    arguments = parser.parse_args()
    overrides = [*OVERRIDES, *([] if arguments.bare else OF_IMAGES), *arguments.overrides]
    if arguments.without:
        INGREDIENTS[arguments.without]()
    dice = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _work(compose([*overrides, f"outputs={root / 'first'}"]), [])
        began = time.monotonic()  # now that all is imported, as it is for those that are forked
        points = [""]
        whole = _outcome(_train(root / "whole", overrides, lambda _: None, points))
        length = time.monotonic() - began
        equal = resumes = 0
        for trial in range(arguments.trials):
            kills: list[str] = []
            run = _train(
                root / str(trial), overrides, functools.partial(_next, dice, points, length, kills), []
            )
            resumes += _resumed(run)
            different = [name for name, value in _outcome(run).items() if not _same(value, whole[name])]
            equal += not different
            verdict = f"different: {', '.join(different)}" if different else "equal"
            print(f"trial {trial + 1}: killed after {', '.join(kills)}: {verdict}", flush=True)
    print(f"{equal} of {arguments.trials} trainings are bit for bit equal after {resumes} resumes")
    return 0 if equal == arguments.trials and resumes else 1


def _next(
    dice: random.Random, points: Sequence[str], length: float, kills: list[str], newest: str
) -> tuple[str, float, str] | None:
    """The resume point at which to kill next, of those ahead, and the seconds after it: thrice at most.

    Moments are drawn by what a training has done: by the clock, a machine that others use, or a slow
    start, puts them all where nothing is left to be resumed. The last point, at which it is killed in
    any case, is told too: seconds alone may outlast a training.
    """
    ahead = [name for name in points[:-1] if name >= newest]
    if len(kills) == 3 or not ahead:
        return None
    point, seconds = dice.choice(ahead), dice.uniform(0, 2 * length / len(points))
    kills.append(f"{point or 'the start'} by {seconds:.3f} s")
    return point, seconds, points[-1]


def _train(
    root: Path,
    overrides: list[str],
    moment: Callable[[str], tuple[str, float, str] | None],
    points: list[str],
) -> RunFolder:
    """Train in forked processes, each killed at its moment, until one ends by itself; note resume points."""
    config = compose([*overrides, f"outputs={root}"])
    while True:
        begun = [RunFolder(path.parent) for path in root.rglob("record.json")]
        resumable = [run for run in begun if resume_points(run.checkpoints)]
        killed = _fork(functools.partial(_work, config, resumable), root, moment(_newest(root)), points)
        for record in root.rglob("record.json"):
            if RunFolder(record.parent).status is Status.FINISHED:
                return RunFolder(record.parent)
        if not killed:
            raise ResumeError(f"a training in {root} ended by itself without finishing")


def _newest(root: Path) -> str:
    return max((path.stem for path in root.glob("*/*/checkpoints/resume-*.ckpt")), default="")


def _work(config: DictConfig, begun: list[RunFolder]) -> None:
    quieten()
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        if begun:
            resume(Run.open(begun[0].path), Signals())
        else:
            train(config, Signals())


def _fork(
    work: Callable[[], Any], root: Path, moment: tuple[str, float, str] | None, points: list[str]
) -> bool:
    """Whether the forked process had to be killed at its moment; resume points seen are noted."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    deadline = float("inf")
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        newest = _newest(root)
        if newest not in points:
            points.append(newest)
        if moment and newest >= moment[0]:
            seconds = 0.0 if newest >= moment[2] else moment[1]
            deadline = min(deadline, time.monotonic() + seconds)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _resumed(run: RunFolder) -> int:
    """How often it was continued from a checkpoint, rather than begun again for want of one."""
    return run.read().get("resumes", 0)


def _outcome(run: RunFolder) -> dict[str, Any]:
    """All that the seed determines: weights, optimiser, the chosen weights, every logged number."""
    last = load(resume_points(run.checkpoints)[0])
    return {
        "weights": last["state_dict"],
        "optimiser": last["optimizer_states"],
        "average": last.get("averaging_state"),
        "step": last["global_step"],
        "best": load(run.best)["state_dict"],
        "metrics": run.metrics.read_bytes(),
        "test": run.read()["metrics"],
        "pictures": {path.name: path.read_bytes() for path in sorted(run.pictures.glob("*.png"))},
    }


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


if __name__ == "__main__":
    sys.exit(main())
