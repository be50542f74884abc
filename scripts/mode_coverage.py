"""Modes of eight Gaussians that GANs of each loss and penalty cover over seeds, and the share that collapse.

`python scripts/mode_coverage.py outputs/rings --seeds 5 --steps 1500` trains what is not there yet, prints a
Markdown table, and draws `modes.png`, the samples of the first seed, into the folder. Options of a training
may follow, as `--penalties gradient --with training.rounds=5`, in a folder of their own.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

import aelab
from aelab.config.compose import compose
from aelab.core.errors import NonFiniteError
from aelab.core.files import write_text
from aelab.core.signals import Signals
from aelab.data.sources.rings import centres
from aelab.metrics.modes import coverage
from aelab.runs.find import runs_below
from aelab.runs.fit import quieten
from aelab.runs.train import train

LOSSES = ("non_saturating", "least_squares", "hinge", "wasserstein")
PENALTIES = ("none", "gradient", "r1", "r2", "spectral_norm", "clipping")
COLLAPSED = 4  # modes: a run that covers no more of the eight has collapsed
SAMPLES = 2000
OPTIONS = (
    "variant=gan", "data=rings", "latent=8", "model.decoder.widths=[64,64]",
    "critic.network.trunk.widths=[64,64]", "data.batch_size=64", "optimizer.lr=1e-3", "logger=[]",
    "threads=1", "trainer.max_epochs=-1", "trainer.check_val_every_n_epoch=1000",
    "pictures.every_n_epochs=null", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1",
)  # fmt: skip

Found = dict[str, dict[str, Any]]


def main() -> int:
    given = _arguments()
    quieten()
    kept = given.folder / "coverage.json"
    found: Found = json.loads(kept.read_text()) if kept.exists() else {}
    options = (*OPTIONS, f"trainer.max_steps={given.steps}", *given.options)
    for seed, loss, penalty in product(range(given.seeds), given.losses, given.penalties):
        name = f"{loss}/{penalty}/{seed}"
        if name not in found:
            found[name] = trained(given.folder, loss, penalty, seed, options)
            write_text(kept, json.dumps(found))
            print(name, found[name]["modes"], f"{found[name]['on_modes']:.2f}", file=sys.stderr)
    print("\n".join(table(found, given.losses, given.penalties, given.seeds)))
    draw(found, given.losses, given.penalties, given.folder / "modes.png")
    return 0


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path, help="of the runs, and of what was found")
    arguments.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    arguments.add_argument("--penalties", nargs="+", choices=PENALTIES, default=PENALTIES)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--steps", type=int, default=1500)
    arguments.add_argument("--with", nargs="+", dest="options", default=[], help="as train.py takes them")
    return arguments.parse_args()


def trained(folder: Path, loss: str, penalty: str, seed: int, options: Sequence[str]) -> dict[str, Any]:
    """What one training covers; none of the modes where it diverged."""
    place = folder / f"{loss}_{penalty}_{seed}"
    chosen = [f"critic/loss={loss}", f"critic/penalty={penalty}", f"seed={seed}", f"outputs={place}"]
    config = compose([*options, *chosen])
    try:
        with Signals() as signals, redirect_stdout(StringIO()):
            train(config, signals)
        samples = aelab.load(max(runs_below(place))).sample(SAMPLES, seed=0)
    except NonFiniteError as error:
        return {"modes": 0, "on_modes": 0.0, "samples": [], "error": str(error)}
    modes, on_modes = coverage(samples, torch.from_numpy(centres()).float(), 0.1)
    return {"modes": modes, "on_modes": on_modes, "samples": samples[:500].tolist()}


def table(found: Found, losses: Sequence[str], penalties: Sequence[str], seeds: int) -> Iterator[str]:
    """The lines of a Markdown table."""
    from scipy.stats import binomtest

    yield "| loss | penalty | modes of 8, each seed | samples on a mode | collapsed, 95 % interval |"
    yield "|---|---|---|---|---|"
    for loss, penalty in product(losses, penalties):
        runs = [found[f"{loss}/{penalty}/{seed}"] for seed in range(seeds)]
        modes = [run["modes"] for run in runs]
        collapsed = sum(count <= COLLAPSED for count in modes)
        interval = binomtest(collapsed, seeds).proportion_ci(method="wilson")
        share = 100 * np.mean([run["on_modes"] for run in runs])
        between = f"{100 * interval.low:.0f} to {100 * interval.high:.0f} %"
        counts = " ".join(map(str, modes))
        yield f"| {loss} | {penalty} | {counts} | {share:.0f} % | {collapsed} of {seeds}, {between} |"


def draw(found: Found, losses: Sequence[str], penalties: Sequence[str], path: Path) -> None:
    """The samples of the first seed: a row for each loss, a column for each penalty."""
    from matplotlib.figure import Figure

    figure = Figure((2 * len(penalties), 2 * len(losses) + 0.3), layout="constrained")
    panels = figure.subplots(len(losses), len(penalties), squeeze=False).flat
    for axes, (loss, penalty) in zip(panels, product(losses, penalties), strict=True):
        samples = np.reshape(found[f"{loss}/{penalty}/0"]["samples"], (-1, 2))
        axes.scatter(*centres().T, s=60, facecolors="none", edgecolors="0.6")
        axes.scatter(*samples.T, s=1)
        axes.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
        axes.set_title(f"{loss}\n{penalty}" if loss == losses[0] else loss, fontsize=7)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
