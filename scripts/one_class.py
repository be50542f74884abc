"""One class against the rest, of all evaluated runs in a folder: `python scripts/one_class.py outputs`.

A row for each normal class and contamination of its training data, and a column for each score: the area
under the ROC curve in per cent, its mean over seeds; below, for each contamination the mean over classes with
a 95 % interval over seeds.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from aelab.runs.find import runs_below
from aelab.runs.folder import RunFolder

Case = tuple[float, str]  # contamination, normal class
Areas = dict[Case, dict[int, dict[str, float]]]  # by seed and score


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
            share = float(OmegaConf.select(settings, "data.contamination") or 0)
            found[share, str(normal)][int(settings.seed)] = areas
    return found


def table(areas: Areas) -> list[str]:
    """The lines of a Markdown table."""
    every = [each for seeds in areas.values() for each in seeds.values()]
    scores = [score for score in every[0] if all(score in each for each in every)]
    lines = [f"| contamination | normal | seeds | {' | '.join(scores)} |", "|---" * (len(scores) + 3) + "|"]
    for (share, normal), seeds in sorted(areas.items()):
        means = [100 * np.mean([each[score] for each in seeds.values()]) for score in scores]
        lines.append(_line(share, normal, len(seeds), [f"{mean:.1f}" for mean in means]))
    for share in sorted({share for share, _ in areas}):
        classes = [seeds for (of, _), seeds in areas.items() if of == share]
        shared = sorted(set.intersection(*map(set, classes)))
        found = ([float(np.mean([each[s][score] for each in classes])) for s in shared] for score in scores)
        lines.append(_line(share, "all", len(shared), [_interval(values) for values in found]))
    return lines


def _line(share: float, normal: str, seeds: int, cells: Sequence[str]) -> str:
    return f"| {100 * share:g} % | {normal} | {seeds} | {' | '.join(cells)} |"


def _interval(areas: Sequence[float]) -> str:
    """The mean, and half of the width of a 95 % interval of it where there are two at least."""
    mean, count = 100 * np.mean(areas), len(areas)
    if count < 2:
        return f"{mean:.2f}"
    from scipy.stats import t

    return f"{mean:.2f} ± {100 * t.ppf(0.975, count - 1) * np.std(areas, ddof=1) / count**0.5:.2f}"


if __name__ == "__main__":
    sys.exit(main())
