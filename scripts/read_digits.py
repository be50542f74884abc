"""How well a classifier of real recordings reads the labels of sounds that a conditional model made.

`python scripts/read_digits.py RUN` prints the share of right readings of the test recordings, of these once
they are written with phases made up, and of `--each` samples of every class, written too.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import AelabError
from aelab.data.kinds import Waves
from aelab.data.module import DataModule
from aelab.runs.data import opened, placed
from aelab.runs.find import run_of
from aelab.runs.folder import Run
from aelab.runs.trained import load


def main() -> int:
    given = _arguments()
    torch.set_num_threads(1)
    model = load(run_of(given.run))
    kind, labels = model.kind, range(len(model.class_names))
    if not isinstance(kind, Waves) or not labels:
        print(f"{given.run} is no model of labelled sounds", file=sys.stderr)
        return 1
    data = opened(placed(Run.open(run_of(given.run)).settings, given.root))
    reader = fitted(data)
    test = data.observations("test")
    print(f"recordings    {share(reader, test.x, test.y):.1%}")
    print(f"written       {share(reader, heard(kind, test.x), test.y):.1%}")
    for seed in range(given.seeds):
        y = torch.tensor(labels).repeat_interleave(given.each)
        samples = model.sample(len(y), y=y.tolist(), seed=seed)
        print(f"samples {seed}     {share(reader, heard(kind, samples), y):.1%}")
    return 0


def fitted(data: DataModule) -> Any:
    """A support vector machine of the levels of training recordings."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    train = data.observations("train").at(slice(None))
    assert train.y is not None
    return make_pipeline(StandardScaler(), SVC(C=10)).fit(train.x.flatten(1).numpy(), train.y.numpy())


def heard(kind: Waves, x: Tensor) -> Tensor:
    """Sounds as they are read again from the files that they are written to."""
    with TemporaryDirectory() as folder:
        kind.write(Path(folder), x.split(500), (f"{place:06}" for place in range(len(x))))
        return torch.cat(list(kind.read(folder, kind.view.shape)[1]))


def share(reader: Any, x: Tensor, y: Tensor | None) -> float:
    """Of sounds, those that are read as what they are."""
    assert y is not None
    return float(np.mean(reader.predict(x.flatten(1).numpy()) == y.numpy()))


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="its folder")
    parser.add_argument("--root", help="where the data lie; by default where they lay for the training")
    parser.add_argument("--each", type=int, default=50, help="samples of each class")
    parser.add_argument("--seeds", type=int, default=3, help="draws of these")
    return parser.parse_args(given)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AelabError as error:
        sys.exit(f"error: {error}")
