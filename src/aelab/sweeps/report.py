"""The output of a sweep: a line for each trial that ends, and a table of all in the end."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Column

from aelab.core.invocation import invocation
from aelab.core.terminal import console, from_here, result, table_of
from aelab.core.text import listed
from aelab.sweeps.cost import cost
from aelab.sweeps.elbow import elbow, selection_sentence
from aelab.sweeps.hydra_jobs import HydraJobs
from aelab.sweeps.plan import Plan
from aelab.sweeps.search_space import suggest
from aelab.sweeps.storage import displayed
from aelab.sweeps.study import StudyRecord, run_folders

SEED = "seed"
OWN = "monitor.metric"  # the column's head where each trial has its own

WORDS = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def progress(plan: Plan, record: StudyRecord, number: int) -> None:
    """Print one line on a trial that has ended."""
    trial = record.study.get_trials(deepcopy=False)[number]
    numbers, varied = _numbers(plan, trial), _varied(plan, trial)
    why = trial.user_attrs.get("error", "") if trial.state is not TrialState.COMPLETE else ""
    print(f"trial {number} {_state(trial)} {' '.join(filter(None, (numbers, varied, why)))}", flush=True)


def report(plan: Plan, record: StudyRecord, folder: Path) -> None:
    """Print a table of all trials, the errors of failed ones, and the best trial as a command."""
    trials = record.latest()
    names = list(plan.objectives) or [OWN]
    homes = {Path(run).parents[1] for trial in trials for run in run_folders(trial)}
    home = homes.pop() if len(homes) == 1 else None
    # A path is broken rather than cut: it is what the next command is given.
    told = [Column(name, overflow="fold") for name in ("varied", "run")]
    heads = [Column(name, justify="right", no_wrap=True) for name in ("trial", "state", *names, "seconds")]
    table = table_of(*heads, *told, title=record.study.study_name)
    for trial in trials:
        values = _values(plan, trial) if trial.state is TrialState.COMPLETE else []
        cells = [*values, *[""] * (len(names) - len(values))]
        table.add_row(
            str(trial.number), _state(trial), *cells, _seconds(trial), _varied(plan, trial), _run(trial, home)
        )
    result(
        study=record.study.study_name,
        folder=folder,
        objectives=dict(plan.objectives),
        trials=[_plain(plan, trial) for trial in trials],
        best=[trial.number for trial in _best(plan, record)],
    )
    out = console(160)
    out.print(table)
    for trial in trials:
        if trial.state is TrialState.FAIL:
            out.print(f"failed    trial {trial.number}: {trial.user_attrs.get('error')}")
    if not plan.objectives:
        out.print("best      none: no one number chooses among them, and sweep.objectives names one for all")
    for line in _best_lines(plan, record):
        out.out(f"best      {line}", highlight=False)
    if plan.plotted is not None:
        for line in _elbow(plan, trials, folder):
            out.out(line, highlight=False)
    if home is not None:
        out.print(f"runs      {from_here(home)}")
    out.print(f"study     {record.study.study_name} in {displayed(plan.options['storage'], folder)}")


def _plain(plan: Plan, trial: FrozenTrial) -> dict[str, Any]:
    """A trial for `--json`."""
    return {
        "trial": trial.number,
        "state": _state(trial),
        "values": _judged(plan, trial),
        "errors": trial.user_attrs.get("errors", {}),
        "overrides": trial.user_attrs.get("overrides", []),
        "seconds": None if trial.duration is None else trial.duration.total_seconds(),
        "runs": list(run_folders(trial)),
        "why": trial.user_attrs.get("error"),
    }


def _elbow(plan: Plan, trials: Sequence[FrozenTrial], folder: Path) -> Iterator[str]:
    """The lines on the value to take, with its command, and on the picture that shows it."""
    found = elbow(plan, trials, folder)
    if isinstance(found, str):
        yield f"plot      {found}"
        return
    chosen, picture = found
    if len(plan.objectives) == 1:
        reason = selection_sentence(chosen, plan.options["plot"], next(iter(plan.objectives)))
        yield f"chosen    {reason}: {_final_command(plan, chosen.point.trial)}"
    yield f"plot      {from_here(picture)}"


def _final_command(plan: Plan, trial: FrozenTrial) -> str:
    return invocation().shown(plan.final_training(trial.user_attrs["overrides"]))


def show_plan(plan: Plan, jobs: HydraJobs, name: str) -> None:
    """Print the trials that would run and for how long; of a sampler those that it would draw first."""
    each = f" of {len(plan.over)} trainings each" if plan.over else ""
    if plan.is_grid:
        points = plan.points()
        print(f"study {name}: {len(points)} trials{each}")
    else:
        points = _first_draws(plan)
        seeded = plan.options["sampler"].get("seed") is not None
        which = "the first" if seeded else "examples, for the draw has no seed (sweep.sampler.seed=0)"
        print(f"study {name}: {plan.options['trials']} trials{each}; {which}:")
    trainings = [plan.single_training(each) for overrides in points for each in plan.trainings(overrides)]
    for training in trainings:
        print(invocation().shown(training))
    result(study=name, trainings=trainings)
    trials = len(points) if plan.is_grid else plan.options["trials"]
    print(f"cost      {cost(plan, jobs, points, trials)}")


def _first_draws(plan: Plan) -> list[list[str]]:
    directions: Any = list(plan.objectives.values())
    study = optuna.create_study(directions=directions, sampler=plan.sampler())
    count = min(plan.options["trials"], 10)
    return [plan.overrides(suggest(study.ask(), plan.space)) for _ in range(count)]


def _best(plan: Plan, record: StudyRecord) -> Sequence[FrozenTrial]:
    """The best trial, or the Pareto front; none where trials are judged by different numbers."""
    if not plan.objectives or not any(trial.state is TrialState.COMPLETE for trial in record.latest()):
        return []
    return record.study.best_trials[:10] if len(record.study.directions) > 1 else [record.study.best_trial]


def _best_lines(plan: Plan, record: StudyRecord) -> list[str]:
    """The best configuration by its mean over seeds where these were varied, else the best trials."""
    if not (plan.is_grid and len(plan.objectives) == 1 and any(p.name == SEED for p in plan.space)):
        return [f"{_numbers(plan, trial)}: {_final_command(plan, trial)}" for trial in _best(plan, record)]
    ((name, direction),) = plan.objectives.items()
    seeds = defaultdict(list)
    for trial in record.latest():
        if trial.state is TrialState.COMPLETE:
            seeds[_without_seed(trial)].append(trial.values[0])
    if not seeds:
        return []
    most = max(map(len, seeds.values()))  # one that lost seeds may have lost its worst
    whole = {overrides: values for overrides, values in seeds.items() if len(values) == most}
    best, values = (max if direction == "maximize" else min)(whole.items(), key=lambda item: fmean(item[1]))
    spread = f" ± {stdev(values):.2g}" if most > 1 else ""
    command = invocation().shown(plan.single_training(best))
    return [f"{name}={fmean(values):.6g}{spread} over {most} seed{'s' * (most > 1)}: {command}"]


def _without_seed(trial: FrozenTrial) -> tuple[str, ...]:
    overrides: Any = trial.user_attrs["overrides"]
    return tuple(o for o in overrides if not o.startswith(f"{SEED}="))


def _numbers(plan: Plan, trial: FrozenTrial) -> str:
    values = _values(plan, trial)
    return " ".join(map("{}={}".format, plan.objectives, values) if plan.objectives else values)


def _values(plan: Plan, trial: FrozenTrial) -> list[str]:
    """The trial's objectives, with the standard errors of those that are means, and its own one's name."""
    errors = trial.user_attrs.get("errors", {})
    return [
        ("" if plan.objectives else f"{name}=")
        + f"{value:.6g}"
        + (f" ± {errors[name]:.2g}" if name in errors else "")
        for name, value in _judged(plan, trial).items()
    ]


def _judged(plan: Plan, trial: FrozenTrial) -> dict[str, float]:
    """The trial's values by name; empty for one that has none yet."""
    names = plan.objectives or trial.user_attrs.get("judged", ())
    return dict(zip(names, trial.values or (), strict=False))


def _state(trial: FrozenTrial) -> str:
    known: Any = trial.user_attrs.get("known")
    return "known" if known and trial.state is TrialState.COMPLETE else WORDS[trial.state]


def _seconds(trial: FrozenTrial) -> str:
    return "" if trial.duration is None else f"{trial.duration.total_seconds():.1f}"


def _varied(plan: Plan, trial: FrozenTrial) -> str:
    return " ".join(o for o in trial.user_attrs.get("overrides", []) if o not in plan.fixed)


def _run(trial: FrozenTrial, home: Path | None) -> str:
    """Where the trial's newest run lies: in the folder that all runs of the sweep lie in, or from here."""
    folders = map(Path, reversed(run_folders(trial)))
    return listed((from_here(run) if home is None else run.relative_to(home) for run in folders), 1)
