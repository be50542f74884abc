"""The tables of docs/results.md, of all evaluated runs in a folder: `python scripts/results.py outputs`.

Runs of one configuration are its seeds: mean and standard deviation over them. The likelihoods of binary
images and of grey levels are no likelihoods of the same thing, so the runs stand in tables of their own.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from omegaconf import DictConfig, OmegaConf

from aelab.comparison.base import MetricSummary
from aelab.comparison.number_format import mean_and_deviation
from aelab.config.identity import without_seed
from aelab.config.trusted import trusted_settings
from aelab.core.errors import AelabError, RunError
from aelab.runs.find import runs_below, spaces_of
from aelab.runs.folder import RunFolder

Seeds = Sequence[Mapping[str, float]]

TABLES = {
    "Likelihood and reconstruction": {
        "NLL, nats": "likelihood/nll",
        "ELBO, nats": "likelihood/elbo",
        "rate, nats": "likelihood/kl",
        "total correlation": "likelihood/total_correlation",
        "active units": "likelihood/active_units",
        "squared error": "reconstruction/squared_error",
        "SSIM": "reconstruction/ssim",
    },
    "Generation and representation": {
        "Fréchet": "generation/frechet",
        "Fréchet, mixture": "generation_mixture/frechet",
        "precision": "generation/precision",
        "recall": "generation/recall",
        "coverage": "generation/coverage",
        "linear probe": "representation/linear_probe",
        "10 labels a class": "representation/few_label_probe",
        "k-means NMI": "representation/kmeans_nmi",
        "CKA of seeds": "representation/cka_between_seeds",
    },
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path, help="that holds the folders of runs, at any depth")
    arguments.add_argument("--suite", default="quick")
    given = arguments.parse_args()
    runs = evaluated(given.folder, given.suite)
    if not runs:
        print(f"error: {given.folder} holds no run evaluated by suite={given.suite}", file=sys.stderr)
        return 1
    for title, columns in TABLES.items():
        for kind in sorted({kind for kind, _ in runs}):
            chosen = {name: seeds for (other, name), seeds in runs.items() if other == kind}
            print(f"\n### {title}: values {kind}\n")
            print("\n".join(table(chosen, columns)))
    return 0


def evaluated(folder: Path, suite: str) -> dict[tuple[str, str], Seeds]:
    """Estimates of each seed, by (kind of values, name of the run).

    Seeds stand in one row where configuration, data, and how they were measured are the same; of several
    evaluations of one seed the newest counts.
    """
    newest: dict[tuple[str, str, str], dict[int, Mapping[str, float]]] = defaultdict(dict)
    for path, settings, found, values in sorted(_readable(folder, suite), key=_time):
        kind = settings.data["values"]._target_.rpartition(".")[2].lower()
        measured = [found.get("parts"), sorted(spaces_of(found)), found.get("data"), without_seed(settings)]
        seeds = newest[kind, str(settings.name), json.dumps(measured, sort_keys=True)]
        if settings.seed in seeds:
            print(f"note: seed {settings.seed} was evaluated again: {path} counts", file=sys.stderr)
        seeds[settings.seed] = values
    return dict(_rows(newest))


def _readable(
    folder: Path, suite: str
) -> Iterator[tuple[Path, DictConfig, dict[str, Any], dict[str, float]]]:
    for run in map(RunFolder, runs_below(folder)):
        if not run.evaluations.exists():
            continue
        try:
            settings, found, values = trusted_settings(run.config), run.suite(suite), run.estimates(suite)
            if OmegaConf.select(settings, "data.values._target_") is None:
                raise RunError(f"{run.config} names no data.values")
        except AelabError as error:
            print(f"warning: {run.path} is left out: {error}", file=sys.stderr)
            continue
        if found:
            yield run.path, settings, found, values


def _time(run: tuple[Path, DictConfig, dict[str, Any], dict[str, float]]) -> tuple[str, str]:
    """When a run was evaluated; where that is not recorded, first of all, in the order of their starts."""
    return str(run[2].get("time", "")), run[0].name


def _rows(
    newest: Mapping[tuple[str, str, str], Mapping[int, Mapping[str, float]]],
) -> Iterator[tuple[tuple[str, str], Seeds]]:
    """A row for each configuration; those of one name are numbered, aloud."""
    count: dict[tuple[str, str], int] = defaultdict(int)
    for (kind, name, _), seeds in sorted(newest.items()):
        count[kind, name] += 1
        label = name if count[kind, name] == 1 else f"{name} ({count[kind, name]})"
        yield (kind, label), list(seeds.values())
    for (_, name), rows in count.items():
        if rows > 1:
            print(
                f"note: {name} has {rows} rows: its runs differ in more than their seed, or were measured "
                "differently",
                file=sys.stderr,
            )


def table(runs: Mapping[str, Seeds], columns: Mapping[str, str]) -> Iterator[str]:
    """The lines of a Markdown table, one row for each name."""
    shown = {title: key for title, key in columns.items() if any(key in s for r in runs.values() for s in r)}
    yield f"| run | seeds | {' | '.join(shown)} |"
    yield "|---" * (2 + len(shown)) + "|"
    for name, seeds in runs.items():
        yield f"| `{name}` | {len(seeds)} | {' | '.join(cell(seeds, key) for key in shown.values())} |"


def cell(seeds: Seeds, key: str) -> str:
    """Mean ± standard deviation; a dash for what is undefined."""
    values = [estimates[key] for estimates in seeds if key in estimates]
    if not values:
        return "–"
    spread = stdev(values) if len(values) > 1 else None
    return mean_and_deviation(MetricSummary(tuple(values), mean(values), spread))


if __name__ == "__main__":
    sys.exit(main())
