"""`aelab train`: start, continue, or take part in a training, or in a sweep of them."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from aelab.cluster import slurm
from aelab.cluster.ranks import place_of
from aelab.cluster.rendezvous import Meeting
from aelab.config.compose import tells_of_sweeps
from aelab.config.identity import fingerprint
from aelab.config.recorded import settings_of
from aelab.core.errors import ConfigurationError, ResumeError
from aelab.core.paths import from_user
from aelab.core.signals import Signals
from aelab.runs.fit import CHECKPOINT, RUN, quieten
from aelab.runs.folder import RunFolder
from aelab.runs.train import resume, start, take_part
from aelab.training.checkpoints import resume_points, usable

MEETINGS = ".meetings"  # below `outputs`


def main(config: DictConfig) -> None:
    """Run, continue, or take part in the training that a composed configuration asks for."""
    quieten()
    with _requeued(), Signals() as signals:
        if RUN in os.environ:
            take_part(os.environ[RUN], os.environ.get(CHECKPOINT), signals)
            return
        job = HydraConfig.get()
        if job.mode is RunMode.MULTIRUN:
            from aelab.sweeps.trial import current_assignment, run_trial

            run_trial(current_assignment(), config, signals)
            return
        _check_no_sweep(job.overrides.task)
        if config.resume:
            _check_alone(job.overrides.task)
        meeting = _meeting_of(config)
        if meeting is not None and meeting.place.rank:
            told = meeting.join()
            if told["run"] is not None:
                take_part(told["run"], told["checkpoint"], signals)
            return
        with meeting.held() if meeting is not None else nullcontext():
            _lead(config, signals, meeting)


def _lead(config: DictConfig, signals: Signals, meeting: Meeting | None) -> None:
    """The training that a configuration asks for, as its first process or its only one."""
    if config.resume:
        resume(Path(config.resume), signals, meeting=meeting)
    elif "members" in config.trainer:
        from aelab.runs.vectorised import start as start_together

        start_together(config, signals)
    elif (begun := _begun(config)) is not None:
        resume(begun, signals, meeting=meeting)
    else:
        start(config, signals, meeting=meeting)


def _meeting_of(config: DictConfig) -> Meeting | None:
    """Where the processes meet that were started with this command; None for one that was started alone."""
    if not config.resume:
        place, outputs = place_of(config.trainer), from_user(config.outputs)
    else:
        folder = RunFolder.open(Path(config.resume))
        place, outputs = place_of(settings_of(folder.config).trainer), folder.path.parent
    return None if place is None else Meeting(place, outputs / MEETINGS)


def _requeued() -> AbstractContextManager[None]:
    """Of several processes only the one that answers for a whole Slurm job puts it back into the queue."""
    is_part = RUN in os.environ or HydraConfig.get().mode is RunMode.MULTIRUN
    return nullcontext() if is_part else slurm.requeued()


def _begun(config: DictConfig) -> Path | None:
    """The run of this configuration that this Slurm job was at before it was requeued."""
    if not slurm.restarts():
        return None
    mark, job = fingerprint(config), slurm.job()
    for run in RunFolder.named(from_user(config.outputs), str(config.name)):
        with suppress(ResumeError):
            record = run.read()
            ours = record.get("fingerprint") == mark and (record.get("process") or {}).get("job") == job
            if ours and next(usable(resume_points(run.checkpoints)), None):
                return run.path
    return None


def _check_alone(overrides: Sequence[str]) -> None:
    extra = [o for o in overrides if not o.startswith("resume=")]
    if extra:
        raise ConfigurationError(f"resume= continues a run as it was recorded: leave out {' '.join(extra)}")


def _check_no_sweep(overrides: Sequence[str]) -> None:
    ignored = [o for o in overrides if tells_of_sweeps(o)]
    if ignored:
        raise ConfigurationError(f"{' '.join(ignored)} is for several trainings: add -m")
