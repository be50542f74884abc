"""The tables of docs/results.md, of all evaluated runs in a folder: `python scripts/results.py outputs`.

Runs of one name are its seeds: mean and standard deviation over them. The likelihoods of binary images and of
grey levels are no likelihoods of the same thing, so the runs stand in tables of their own.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from aelab.errors import AelabError
from aelab.runs.folder import RunFolder
from aelab.runs.trusted import trusted_settings

Seeds = Sequence[Mapping[str, float]]

TABLES = {
    "Likelihood and reconstruction": {
        "NLL, nats": "likelihood/nll",
        "ELBO, nats": "likelihood/elbo",
        "rate, nats": "likelihood/rate",
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
            print(f"\n### {title}: binarization {kind}\n")
            print("\n".join(table(chosen, columns)))
    return 0


def evaluated(folder: Path, suite: str) -> dict[tuple[str, str], Seeds]:
    """Estimates of each seed, by (kind of values, name of the run); the newest run of a seed counts."""
    found: dict[tuple[str, str], dict[int, Mapping[str, float]]] = defaultdict(dict)
    for path in sorted(folder.rglob("evaluation.json")):
        run = RunFolder(path.parent)
        try:
            settings, record = trusted_settings(run), run.read_evaluations().get(suite)
        except AelabError as error:
            print(f"warning: {run.path} is left out: {error}", file=sys.stderr)
            continue
        if record:
            values = {name: estimate["value"] for name, estimate in record["estimates"].items()}
            kind = settings.data.binarization._target_.rpartition(".")[2].lower()
            found[kind, str(settings.name)][int(settings.seed)] = values
    return {key: list(seeds.values()) for key, seeds in sorted(found.items())}


def table(runs: Mapping[str, Seeds], columns: Mapping[str, str]) -> Iterator[str]:
    """The lines of a Markdown table, one row for each name."""
    shown = {title: key for title, key in columns.items() if any(key in s for r in runs.values() for s in r)}
    yield f"| run | seeds | {' | '.join(shown)} |"
    yield "|---" * (2 + len(shown)) + "|"
    for name, seeds in runs.items():
        yield f"| `{name}` | {len(seeds)} | {' | '.join(cell(seeds, key) for key in shown.values())} |"


def cell(seeds: Seeds, key: str) -> str:
    """Mean ± standard deviation to two digits of the latter; a dash for what is undefined."""
    values = [estimates[key] for estimates in seeds if key in estimates]
    if len(values) < 2:
        return f"{values[0]:.4g}" if values else "–"
    spread = stdev(values)
    digits = max(0, 1 - int(f"{spread:e}".partition("e")[2])) if spread else 0
    return f"{mean(values):.{digits}f} ± {spread:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
