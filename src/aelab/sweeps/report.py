"""What a sweep prints: a line for each trial that ends, and all of them in the end."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from aelab.core.invocation import invocation
from aelab.core.terminal import console, from_here, result
from aelab.sweeps.composer import Composer
from aelab.sweeps.cost import cost
from aelab.sweeps.elbow import elbow, told
from aelab.sweeps.plan import Plan
from aelab.sweeps.search_space import suggest
from aelab.sweeps.storage import shown
from aelab.sweeps.study import Record, earlier

WORDS = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def progress(plan: Plan, record: Record, number: int) -> None:
    """One line for a trial that has ended."""
    trial = record.study.get_trials(deepcopy=False)[number]
    numbers = " ".join(_values(plan, trial))
    varied = _varied(plan, trial)
    why = trial.user_attrs.get("error", "") if trial.state is not TrialState.COMPLETE else ""
    print(f"trial {number} {_word(trial)} {' '.join(filter(None, (numbers, varied, why)))}", flush=True)


def report(plan: Plan, record: Record, folder: Path) -> None:
    """The table of all trials, why some failed, and the best as a command."""
    trials = record.latest()
    names = list(plan.objectives)
    table = Table("trial", "state", *names, "seconds", "varied", "run", title=record.study.study_name)
    for trial in trials:
        values = _values(plan, trial) if trial.state is TrialState.COMPLETE else []
        cells = [*values, *[""] * (len(names) - len(values))]
        table.add_row(
            str(trial.number), _word(trial), *cells, _seconds(trial), _varied(plan, trial), _run(trial)
        )
    result(
        study=record.study.study_name,
        folder=folder,
        objectives=dict(plan.objectives),
        trials=[_plain(plan, trial) for trial in trials],
        best=[trial.number for trial in _best(record)],
    )
    out = console(160)
    out.print(table)
    for trial in trials:
        if trial.state is TrialState.FAIL:
            out.print(f"failed    trial {trial.number}: {trial.user_attrs.get('error')}")
    for trial in _best(record):
        out.print(f"best      {_numbers(plan, trial)}: {_command(plan, trial)}")
    if plan.plotted is not None:
        for line in _elbow(plan, trials, folder):
            out.print(line)
    out.print(f"study     {record.study.study_name} in {shown(plan.options['storage'], folder)}")


def _plain(plan: Plan, trial: FrozenTrial) -> dict[str, Any]:
    """A trial for `--json`."""
    return {
        "trial": trial.number,
        "state": _word(trial),
        "values": dict(zip(plan.objectives, trial.values or (), strict=False)),
        "errors": trial.user_attrs.get("errors", {}),
        "overrides": trial.user_attrs.get("overrides", []),
        "seconds": None if trial.duration is None else trial.duration.total_seconds(),
        "runs": list(earlier(trial)),
        "why": trial.user_attrs.get("error"),
    }


def _elbow(plan: Plan, trials: Sequence[FrozenTrial], folder: Path) -> Iterator[str]:
    """The value to take as a sentence and as a command, and the path of the picture that shows it."""
    found = elbow(plan, trials, folder)
    if isinstance(found, str):
        yield f"plot      {found}"
        return
    chosen, picture = found
    if len(plan.objectives) == 1:
        sentence = told(chosen, plan.options["plot"], next(iter(plan.objectives)))
        yield f"chosen    {sentence}: {_command(plan, chosen.point.trial)}"
    yield f"plot      {from_here(picture)}"


def _command(plan: Plan, trial: FrozenTrial) -> str:
    """What trains the same again, to copy."""
    return invocation().shown(plan.chosen(trial.user_attrs["overrides"]))


def show_plan(plan: Plan, composer: Composer, name: str) -> None:
    """The trials that would run, and for how long; of a sampler those that it would draw without results."""
    each = f" of {len(plan.over)} trainings each" if plan.over else ""
    if plan.is_grid:
        points = plan.points()
        print(f"study {name}: {len(points)} trials{each}")
    else:
        points = _first_draws(plan)
        count = f"{plan.options['trials']} trials{each}"
        print(f"study {name}: {count}, as these (the later ones follow the results):")
    trainings = [plan.alone(training) for overrides in points for training in plan.trainings(overrides)]
    for training in trainings:
        print(invocation().shown(training))
    result(study=name, trainings=trainings)
    trials = len(points) if plan.is_grid else plan.options["trials"]
    print(f"cost      {cost(plan, composer, points, trials)}")


def _first_draws(plan: Plan) -> list[list[str]]:
    directions: Any = list(plan.objectives.values())
    study = optuna.create_study(directions=directions, sampler=plan.sampler())
    count = min(plan.options["trials"], 10)
    return [plan.overrides(suggest(study.ask(), plan.space)) for _ in range(count)]


def _best(record: Record) -> Sequence[FrozenTrial]:
    """The best trial, or the Pareto front."""
    if not any(trial.state is TrialState.COMPLETE for trial in record.latest()):
        return []
    return record.study.best_trials[:10] if len(record.study.directions) > 1 else [record.study.best_trial]


def _numbers(plan: Plan, trial: FrozenTrial) -> str:
    return " ".join(map("{}={}".format, plan.objectives, _values(plan, trial)))


def _values(plan: Plan, trial: FrozenTrial) -> list[str]:
    """The trial's objectives, give or take the standard errors of those that are means."""
    errors = trial.user_attrs.get("errors", {})
    pairs = zip(plan.objectives, trial.values or (), strict=False)  # a trial may have none yet
    return [f"{value:.6g}" + (f" ± {errors[name]:.2g}" if name in errors else "") for name, value in pairs]


def _word(trial: FrozenTrial) -> str:
    known: Any = trial.user_attrs.get("known")
    return "known" if known and trial.state is TrialState.COMPLETE else WORDS[trial.state]


def _seconds(trial: FrozenTrial) -> str:
    return "" if trial.duration is None else f"{trial.duration.total_seconds():.1f}"


def _varied(plan: Plan, trial: FrozenTrial) -> str:
    return " ".join(o for o in trial.user_attrs.get("overrides", []) if o not in plan.fixed)


def _run(trial: FrozenTrial) -> str:
    runs = [from_here(Path(run)) for run in earlier(trial)]
    return f"{runs[-1]} and {len(runs) - 1} more" if len(runs) > 1 else "".join(runs)
