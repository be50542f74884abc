"""One class against the rest, of all evaluated runs in a folder: `python scripts/one_class.py outputs`.

A row for each normal class and a column for each score: the area under the ROC curve in per cent, its mean
over seeds; below, the mean over classes with its standard deviation over seeds.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from aelab.runs.find import runs_below
from aelab.runs.folder import RunFolder

Areas = dict[str, dict[int, dict[str, float]]]  # by class, seed and score


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path, help="that holds the folders of runs, at any depth")
    given = arguments.parse_args()
    areas = measured(given.folder)
    if not areas:
        print(f"error: {given.folder} holds no run evaluated by suite=detection", file=sys.stderr)
        return 1
    print("\n".join(table(areas)))
    return 0


def measured(folder: Path) -> Areas:
    """The areas of the runs below a folder that were trained on one class."""
    found: Areas = defaultdict(dict)
    for run in map(RunFolder, runs_below(folder)):
        settings = OmegaConf.load(run.config)
        normal, values = OmegaConf.select(settings, "data.normal"), run.estimates("detection")
        if normal is not None and values:
            prefix = "detection/auroc_"
            areas = {name.removeprefix(prefix): v for name, v in values.items() if name.startswith(prefix)}
            found[str(normal)][int(settings.seed)] = areas
    return found


def table(areas: Areas) -> list[str]:
    """The lines of a Markdown table."""
    every = [each for seeds in areas.values() for each in seeds.values()]
    scores = [score for score in every[0] if all(score in each for each in every)]
    lines = [f"| normal | seeds | {' | '.join(scores)} |", "|---" * (len(scores) + 2) + "|"]
    for normal, seeds in sorted(areas.items()):
        means = [np.mean([each[score] for each in seeds.values()]) for score in scores]
        lines.append(f"| {normal} | {len(seeds)} | {' | '.join(f'{100 * mean:.1f}' for mean in means)} |")
    shared = sorted(set.intersection(*(set(seeds) for seeds in areas.values())))
    of_seed = [[np.mean([each[s][score] for each in areas.values()]) for s in shared] for score in scores]
    cells = (f"{100 * np.mean(v):.2f} ± {100 * np.std(v, ddof=len(v) > 1):.2f}" for v in of_seed)
    return [*lines, f"| all | {len(shared)} | {' | '.join(cells)} |"]


if __name__ == "__main__":
    sys.exit(main())
