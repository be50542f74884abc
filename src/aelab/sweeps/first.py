"""What the first trial of a study shows to be wrong with all of it, before anything starts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from aelab.data.held_out import HeldOut
from aelab.errors import AelabError, ConfigurationError
from aelab.sweeps.search_space import is_whole
from aelab.sweeps.trying import tried

if TYPE_CHECKING:
    from aelab.sweeps.plan import Plan


def check_first(made: "Plan", trainings: Sequence[DictConfig]) -> None:
    """Raise ConfigurationError for a plot, folds or objectives that the first trial cannot have.

    trainings: the configurations of the first trial.
    """
    _check_plot(made)
    for config in trainings if made.over else ():
        HeldOut(config.data.validation, config.data.get("folds"), config.data.get("fold", 0))
    if made.options["objectives"]:
        _check_measured(made, trainings[0])


def _check_plot(made: "Plan") -> None:
    name = made.options["plot"]
    if name is not None and made.plotted is None:
        numbers = [p.name for p in made.space if is_whole(p) is not None]
        raise ConfigurationError(
            f"sweep.plot={name} is no number that this study varies: "
            + (f"choose one of {', '.join(numbers)}" if numbers else "leave it out")
        )


def _check_measured(made: "Plan", config: DictConfig) -> None:
    """Refuse an objective that is not measured; all else that is wrong the trial says itself."""
    try:
        (first,) = tried([config], fetch=not made.options["dry_run"])
    except AelabError:
        return
    for name in made.objectives:
        if name not in first.measured:
            raise ConfigurationError(
                f"sweep.objectives: {name} is not measured for this model: choose one of "
                f"{', '.join(first.measured)}"
            )
