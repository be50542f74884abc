"""`aelab train`: start, continue, or take part in a training, or in a sweep of them."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from aelab.cluster import slurm
from aelab.cluster.ranks import world_of
from aelab.cluster.rendezvous import Rendezvous
from aelab.config.compose import tells_of_sweeps
from aelab.core.errors import ConfigurationError
from aelab.core.paths import from_user
from aelab.core.signals import Signals
from aelab.runs.find import run_as, runs_like
from aelab.runs.fit import CHECKPOINT, RUN, quieten
from aelab.runs.folder import Run
from aelab.runs.train import resume, take_part, train
from aelab.training.checkpoints import resume_points, usable

RENDEZVOUS = ".rendezvous"  # below `outputs`


def main(config: DictConfig) -> None:
    """Run, continue, or take part in the training that a composed configuration asks for."""
    quieten()
    with _requeued(), Signals() as signals:
        if RUN in os.environ:
            take_part(_begun(config, os.environ[RUN]), os.environ.get(CHECKPOINT), signals)
        elif HydraConfig.get().mode is RunMode.MULTIRUN:
            from aelab.sweeps.trial import current_assignment, run_trial

            run_trial(current_assignment(), config, signals)
        else:
            _check_overrides(config, HydraConfig.get().overrides.task)
            _with_others(config, signals)


def _with_others(config: DictConfig, signals: Signals) -> None:
    """The training as one of the processes that were started with this command, or as the only one."""
    run = Run.open(Path(config.resume)) if config.resume else None
    rendezvous = _rendezvous(config, run)
    if rendezvous is None:
        _lead(config, run, signals, None)
    elif rendezvous.world.rank == 0:
        with rendezvous.held():
            _lead(config, run, signals, rendezvous)
    elif (joined := rendezvous.join())["run"] is not None:
        take_part(_begun(config, joined["run"]), joined["checkpoint"], signals)


def _begun(config: DictConfig, folder: str) -> Run:
    """The run that the first process is at, in its folder: one to be continued, or this command line's."""
    return Run.open(Path(folder)) if config.resume else run_as(Run.planned(config), Path(folder))


def _lead(config: DictConfig, run: Run | None, signals: Signals, rendezvous: Rendezvous | None) -> None:
    """The training as its first process; run: what is to be continued."""
    run = run or _requeued_run(config)
    if run is not None:
        resume(run, signals, rendezvous=rendezvous)
    elif "members" in config.trainer:
        from aelab.runs.vectorised import train_members

        train_members(config, HydraConfig.get().overrides.task, signals)
    else:
        train(config, signals, rendezvous=rendezvous)


def _rendezvous(config: DictConfig, run: Run | None) -> Rendezvous | None:
    """Where the processes meet that were started with this command; None for one that was started alone."""
    settings, outputs = (
        (config, from_user(config.outputs)) if run is None else (run.settings, run.folder.path.parent)
    )
    world = world_of(settings.trainer)
    return None if world is None else Rendezvous(world, outputs / RENDEZVOUS)


def _requeued() -> AbstractContextManager[None]:
    """Of several processes only the one that answers for a whole Slurm job puts it back into the queue."""
    is_part = RUN in os.environ or HydraConfig.get().mode is RunMode.MULTIRUN
    return nullcontext() if is_part else slurm.requeued()


def _requeued_run(config: DictConfig) -> Run | None:
    """The run of this configuration that this Slurm job was at before it was requeued."""
    if not slurm.restarts():
        return None
    for run in runs_like(Run.planned(config)):
        process = run.folder.read().get("process") or {}
        if process.get("job") == slurm.job() and next(usable(resume_points(run.folder.checkpoints)), None):
            return run
    return None


def _check_overrides(config: DictConfig, overrides: Sequence[str]) -> None:
    """ConfigurationError for options of a sweep where there is none, and for any beside `resume`."""
    if ignored := [o for o in overrides if tells_of_sweeps(o)]:
        raise ConfigurationError(f"{' '.join(ignored)} is for several trainings: add -m")
    extra = [o for o in overrides if not o.startswith("resume=")]
    if config.resume and extra:
        raise ConfigurationError(
            f"resume= continues a run as it was recorded: leave out {' '.join(extra)}; "
            "start.run=FOLDER begins another run from its weights, under options of its own"
        )
