"""Which numbers are compared, and in which direction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from aelab.comparison.base import RunSummary
from aelab.core.errors import ConfigurationError
from aelab.core.quantity import Quantity
from aelab.core.text import listed

DEFAULT = (
    "test/elbo",
    "test/mse",
    "quick/likelihood/nll",
    "quick/generation/frechet",
    "quick/reconstruction/ssim",
    "quick/representation/linear_probe",
)


def chosen(
    runs: Sequence[RunSummary], asked: Sequence[str] | None, directions: Mapping[str, bool | None]
) -> tuple[Quantity, ...]:
    """The metrics that are asked for by name or glob; by default those of `DEFAULT` that all runs have.

    directions: whether higher is better, by name or by the last part of it, before what the runs say.

    Raises ConfigurationError for a name that no finished run has, where nothing is left to compare, and
    where runs disagree on a direction.
    """
    known = list(dict.fromkeys(name for run in runs for name in run.values))
    names = _default(runs, known) if asked is None else _asked(asked, known)
    if not names:
        raise ConfigurationError("the runs share no number to compare them by: train or evaluate them first")
    return tuple(_quantity(name, runs, directions) for name in names)


def dropped(runs: Sequence[RunSummary], asked: Sequence[str] | None) -> Iterator[str]:
    """A sentence for each of the default metrics that some runs have and others lack."""
    for name in DEFAULT if asked is None else ():
        lacking = [run for run in runs if name not in run.values]
        if lacking and len(lacking) < len(runs):
            of = listed(sorted({run.name for run in lacking}))
            yield f"{name} is not shown, for {len(lacking)} of {len(runs)} runs lack it ({of}): metric={name}"


def _quantity(name: str, runs: Sequence[RunSummary], directions: Mapping[str, bool | None]) -> Quantity:
    """The facts of a number by its runs, in the direction that is given for it."""
    found = [run.quantities[name] for run in runs if name in run.quantities] or [Quantity(name, "")]
    for key in (name, _last(name)):
        if key in directions:
            return replace(found[0], higher_is_better=directions[key])
    if len({quantity.higher_is_better for quantity in found}) > 1:
        raise ConfigurationError(
            f"the runs disagree on whether more of {name} is better: say it, as by "
            f"higher_is_better={{{_last(name)}: true}}"
        )
    return found[0]


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
