"""Which numbers are compared, and of which more is better."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from aelab.comparison.base import Metric, RunSummary
from aelab.core.errors import ConfigurationError
from aelab.core.text import listed
from aelab.metrics.units import UNITS

DEFAULT = (
    "test/elbo",
    "test/mse",
    "quick/likelihood/nll",
    "quick/generation/frechet",
    "quick/reconstruction/ssim",
    "quick/representation/linear_probe",
)

# By the last part of a name; of what is in neither, as a rate or active units, no direction is better.
HIGHER = {
    "elbo", "psnr", "ssim",
    "precision", "recall", "density", "coverage", "classifier_score", "label_accuracy",
    "linear_probe", "few_label_probe", "nearest_neighbours",
    "kmeans_accuracy", "kmeans_nmi", "kmeans_ari", "mixture_accuracy", "mixture_nmi", "mixture_ari",
    "beta_vae_score", "factor_vae_score", "mig", "sap", "irs", "modularity",
    "dci_disentanglement", "dci_completeness", "dci_informativeness", "udr", "cka_between_seeds",
}  # fmt: skip
LOWER = {
    "loss", "nll", "bits_per_dim", "nll_bits_per_dim", "distortion",
    "mse", "squared_error", "frechet", "kernel_distance",
    "elbo_spread", "mse_spread", "distortion_spread", "code_shift_bfloat16", "code_shift_input_noise",
    "mse_increase_bfloat16", "mse_increase_input_noise",
}  # fmt: skip
OF_LIKELIHOOD = {"elbo", "nll", "distortion", "bits_per_dim", "nll_bits_per_dim", "loss"}


def of_likelihood(name: str) -> bool:
    """Whether a metric depends on the kind of likelihood, so that it compares within one kind only."""
    return _last(name) in OF_LIKELIHOOD


def chosen(
    runs: Sequence[RunSummary], asked: Sequence[str] | None, directions: Mapping[str, bool | None]
) -> tuple[Metric, ...]:
    """The metrics that are asked for by name or glob; by default those of `DEFAULT` that all runs have.

    directions: whether higher is better, by name or by the last part of it, before what is known here.

    Raises ConfigurationError for a name that no finished run has, and where nothing is left to compare.
    """
    known = list(dict.fromkeys(name for run in runs for name in run.values))
    names = _default(runs, known) if asked is None else _asked(asked, known)
    if not names:
        raise ConfigurationError("the runs share no number to compare them by: train or evaluate them first")
    units = {name: unit for run in runs for name, unit in run.units.items()}
    return tuple(
        Metric(name, units.get(name) or UNITS.get(_last(name), ""), direction(name, directions))
        for name in names
    )


def dropped(runs: Sequence[RunSummary], asked: Sequence[str] | None) -> Iterator[str]:
    """A sentence for each of the default metrics that some runs have and others lack."""
    for name in DEFAULT if asked is None else ():
        lacking = [run for run in runs if name not in run.values]
        if lacking and len(lacking) < len(runs):
            of = listed(sorted({run.name for run in lacking}))
            yield f"{name} is not shown, for {len(lacking)} of {len(runs)} runs lack it ({of}): metric={name}"


def direction(name: str, given: Mapping[str, bool | None]) -> bool | None:
    """Whether higher is better; None where neither is, and for the floor that data of the same kind set."""
    for key in (name, _last(name)):
        if key in given:
            return given[key]
    if "_floor/" in name:
        return None
    return True if _last(name) in HIGHER else False if _last(name) in LOWER else None


def _default(runs: Sequence[RunSummary], known: Sequence[str]) -> list[str]:
    shared = [name for name in DEFAULT if all(name in run.values for run in runs)]
    return shared or [name for name in known if all(name in run.values for run in runs)][:4]


def _asked(asked: Iterable[str], known: Sequence[str]) -> list[str]:
    names: dict[str, None] = {}
    for pattern in asked:
        found = [name for name in known if name == pattern or fnmatchcase(name, pattern)]
        if not found:
            near = [name for name in known if _last(name) == _last(pattern)] or sorted(known)
            raise ConfigurationError(f"metric={pattern} is in no finished run: there are {listed(near, 12)}")
        names.update(dict.fromkeys(found))
    return list(names)


def _last(name: str) -> str:
    return name.rpartition("/")[2]
