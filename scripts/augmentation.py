"""What generated images are worth to a classifier: `python scripts/augmentation.py FOLDER RUN ...`.

RUN: models that learned from all training images without labels, of which each seed takes the next. For each
seed and number of labels a class a conditional VAE is trained on the labelled images alone, too. A classifier
takes as many steps whatever it learns from, and half of each batch are real images. What was found is kept in
FOLDER, and a Markdown table printed: the accuracy on the test split, what it gains on the labelled images
alone (95 % of a paired t-test over seeds), and the labels a class with which these alone are as good.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import aelab
from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.core.files import write_text
from aelab.core.signals import Signals
from aelab.data.labels import Labelled
from aelab.data.module import DataModule
from aelab.runs.data import data_of
from aelab.runs.find import runs_below
from aelab.runs.fit import quieten
from aelab.runs.train import train
from aelab.runs.trained import Trained

BUDGETS = (10, 50, 200)  # labels a class
CURVE = (10, 20, 50, 100, 200, 500, 1000)  # of the classifiers that learn from real images alone
ALONE, MOVED, BEST = "none", "moved", "vae perturbations"
WAYS = {  # by which generator, by which augmentation
    MOVED: ("vae", "moved"),
    "vae posteriors": ("vae", "posteriors"),
    "vae interpolations": ("vae", "interpolations"),
    BEST: ("vae", "perturbations"),
    "vae restorations": ("vae", "restorations"),
    "cvae samples": ("cvae", "samples"),
    "cvae interpolations": ("cvae", "interpolations"),
}
BOTH = f"moved, {BEST}"
NEW = 300  # a class
STEPS, BATCH = 300, 100
OPTIONS = (
    "variant=cvae", "values=dynamic", "data=npz", "logger=[]", "threads=1", "trainer.max_epochs=-1",
    "trainer.max_steps=800", "pictures.every_n_epochs=null", "trainer.check_val_every_n_epoch=20",
)  # fmt: skip
CLASSIFIERS = {
    "MLP": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 200), nn.ReLU(), nn.Dropout(0.2), nn.Linear(200, 10)
    ),
    "CNN": lambda: nn.Sequential(
        nn.Conv2d(1, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.2), nn.Linear(512, 10),
    ),
}  # fmt: skip
Labels = tuple[Tensor, Tensor]  # images (N, C, H, W) in [0, 1], and what they are (N,)
Found = dict[str, float]  # accuracies, by classifier, labels a class, way and seed


def main() -> int:
    given = _arguments()
    quieten()
    torch.set_num_threads(1)
    kept = given.folder / "accuracies.json"
    found: Found = json.loads(kept.read_text()) if kept.exists() else {}
    for seed in given.seeds:
        model = aelab.load(given.runs[seed % len(given.runs)])
        data = data_of(model.run, given.root).expected()
        for name, value in measured(model, data, seed, given.folder, found):
            found[name] = value
            write_text(kept, json.dumps(found))
    print("\n".join(table(found, given.seeds)))
    return 0


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path, help="of what is found")
    arguments.add_argument("runs", nargs="+", help="folders of runs, without labels")
    arguments.add_argument("--root", help="where the data set's files lie")
    arguments.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    return arguments.parse_args()


def measured(
    model: Trained, data: DataModule, seed: int, folder: Path, known: Found
) -> Iterator[tuple[str, float]]:
    """The accuracies of a seed that are not known yet."""
    test = labelled(data, "test")
    for budget in CURVE:
        real = labelled(data, "train", budget, seed)
        pools: dict[str, Labels | None] = {ALONE: None}
        names = [f"{kind}/{budget}/{way}/{seed}" for kind, way in product(CLASSIFIERS, [ALONE, *WAYS, BOTH])]
        if budget in BUDGETS and not known.keys() >= set(names):
            pools |= made(model, real, data, folder / f"cvae_{budget}_{seed}", seed)
        for kind, (way, new) in product(CLASSIFIERS, pools.items()):
            if (name := f"{kind}/{budget}/{way}/{seed}") not in known:
                yield name, accuracy(kind, real, new, test, seed)


def labelled(data: DataModule, split: str, budget: int | None = None, seed: int = 0) -> Labels:
    """All images of a split, or so many of each class."""
    observations = data.observations(split)
    if budget is not None:
        observations = Labelled(10 * budget, seed, None, 10).hide(observations)
    assert observations.y is not None
    places = (observations.y >= 0).nonzero()[:, 0]
    found = observations.take(places).at(slice(None))
    return found.x / 255, observations.y[places]


def made(model: Trained, real: Labels, data: DataModule, folder: Path, seed: int) -> dict[str, Labels]:
    """What each way makes of labelled images."""
    pixels, labels = (real[0] * 255).round().to(torch.uint8), real[1]
    models = {"vae": model, "cvae": conditional(pixels, labels, data, folder, seed)}
    found = {}
    for name, (by, way) in WAYS.items():
        part = construct(compose(["run=", f"augmentation={way}"], "augment").augmentation, way)
        found[name] = models[by].augment(real[0], labels, part, NEW, seed)
    x, y = (torch.cat(pair) for pair in zip(found[MOVED], found[BEST], strict=True))
    return {**found, BOTH: (x, y)}


def conditional(x: Tensor, y: Tensor, data: DataModule, folder: Path, seed: int) -> Trained:
    """A conditional VAE of labelled images alone, a tenth of which choose its weights."""
    if not any(runs_below(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        test = data.observations("test").at(slice(200))
        splits = {"x_train": x, "y_train": y, "x_test": test.x, "y_test": test.y}
        np.savez(folder / "few.npz", **{name: np.asarray(each) for name, each in splits.items()})  # type: ignore[arg-type]
        with Signals() as signals, redirect_stdout(StringIO()):
            root = f"data.root={folder / 'few.npz'}"
            train(compose([*OPTIONS, root, f"seed={seed}", f"outputs={folder}"]), signals)
    return aelab.load(max(runs_below(folder)))


def accuracy(kind: str, real: Labels, new: Labels | None, test: Labels, seed: int) -> float:
    """The share of test images that a classifier labels right after its last step."""
    torch.manual_seed(seed)
    net = CLASSIFIERS[kind]()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(STEPS):
        parts = [real, real if new is None else new]
        rows = [torch.randint(len(part[1]), (BATCH // 2,)) for part in parts]
        x, y = (torch.cat([part[i][r] for part, r in zip(parts, rows, strict=True)]) for i in (0, 1))
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    with torch.no_grad():
        right = [
            net.eval()(x).argmax(1) == y
            for x, y in zip(test[0].split(1000), test[1].split(1000), strict=True)
        ]
    return float(torch.cat(right).double().mean())


def table(found: Mapping[str, float], seeds: Sequence[int]) -> Iterator[str]:
    """The lines of a Markdown table, accuracies in per cent."""
    from scipy.stats import t

    yield "| classifier | labels a class | beside them | accuracy, % | gain, points | as good alone with |"
    yield "|---|---|---|---|---|---|"
    for kind, budget, way in product(CLASSIFIERS, BUDGETS, [ALONE, *WAYS, BOTH]):
        each = 100 * of_seeds(found, kind, budget, way, seeds)
        gains = each - 100 * of_seeds(found, kind, budget, ALONE, seeds)
        reach = t.ppf(0.975, len(seeds) - 1) * gains.std(ddof=1) / len(seeds) ** 0.5
        gain = "" if way == ALONE else f"{gains.mean():+.2f} ± {reach:.2f}"
        worth = "" if way == ALONE else alone_with(found, kind, each.mean() / 100, seeds)
        yield (
            f"| {kind} | {budget} | {way} | {each.mean():.2f} ± {each.std(ddof=1):.2f} | {gain} | {worth} |"
        )


def of_seeds(
    found: Mapping[str, float], kind: str, budget: int, way: str, seeds: Sequence[int]
) -> np.ndarray:
    return np.array([found[f"{kind}/{budget}/{way}/{seed}"] for seed in seeds])


def alone_with(found: Mapping[str, float], kind: str, accuracy: float, seeds: Sequence[int]) -> str:
    """The labels a class with which real images alone are as good, between those that were tried."""
    means = np.maximum.accumulate([of_seeds(found, kind, budget, ALONE, seeds).mean() for budget in CURVE])
    if not means[0] <= accuracy <= means[-1]:
        return f"below {CURVE[0]}" if accuracy < means[0] else f"above {CURVE[-1]}"
    return f"{np.exp(np.interp(accuracy, means, np.log(CURVE))):.0f}"


if __name__ == "__main__":
    sys.exit(main())
