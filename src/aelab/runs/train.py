"""One training from its configuration to its table of test metrics: start, or continue, and record."""

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from yaml import YAMLError

from aelab.callbacks.signals import Signals
from aelab.callbacks.study import Follows, Pruned
from aelab.composition import tells_of_sweeps
from aelab.errors import ConfigurationError, ResumeError
from aelab.locations import conf_dir, from_user
from aelab.runs import slurm
from aelab.runs.build import Parts, build
from aelab.runs.devices import world_size
from aelab.runs.folder import RunFolder, Status
from aelab.runs.meeting import Meeting
from aelab.runs.ranks import place_of
from aelab.runs.report import report
from aelab.runs.session import CHECKPOINT, PRUNES, RUN, fit, quieten, trainer_of
from aelab.runs.snapshot import changes_patch, command, git_state, hardware, packages
from aelab.runs.weights import fingerprint, fingerprint_in
from aelab.trackers import new_run_id
from aelab.training.checkpoints import load, resume_points, usable

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
            from aelab.sweeps.trial import carry_out, current

            carry_out(current(), config, signals)
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
        place, outputs = place_of(settings_of(folder).trainer), folder.path.parent
    return None if place is None else Meeting(place, outputs / MEETINGS)


def take_part(run: str, checkpoint: str | None, signals: Signals) -> None:
    """Train beside the first process of a run, in the folder that it has made."""
    folder = RunFolder.open(Path(run))
    config = settings_of(folder)
    with suppress(Pruned):  # the first process says so, and an exit in distress would end it before
        fit(config, build(config), folder, checkpoint, signals, [Follows()] if PRUNES in os.environ else [])


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


def start(
    config: DictConfig, signals: Signals, callbacks: Sequence[Callback] = (), meeting: Meeting | None = None
) -> dict[str, float]:
    """Train from nothing in a new folder; the test metrics by name."""
    parts = build(config)
    rehearse(config, parts, signals)
    folder = new_folder(config, circumstances(config, parts), changes())
    return fit(config, parts, folder, None, signals, callbacks, meeting)


def rehearse(config: DictConfig, parts: Parts, signals: Signals) -> Trainer:
    """Make the Trainer once without a run, so that what it refuses leaves no folder behind."""
    trial = trainer_of(config, RunFolder(Path(config.outputs)), "", signals)
    for callback in trial.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, "check"):
            callback.check(parts.training.model, parts.data.val_examples(1))
    return trial


def new_folder(config: DictConfig, known: Mapping[str, Any], patch: bytes) -> RunFolder:
    """A folder for a run that is about to begin, with what is known of it."""
    folder = RunFolder.create(Path(config.outputs), str(config.name))
    OmegaConf.save(config, folder.config)
    folder.patch.write_bytes(patch)
    folder.update(**known)
    return folder


# What a process has imported is the tree as it was when it began: so have the trials that it forks.
@functools.cache
def tree() -> dict[str, Any] | None:
    """The state of the source tree, as this process first found it."""
    return git_state(conf_dir())


@functools.cache
def changes() -> bytes:
    """The uncommitted changes then as a patch; empty, with a warning, where they cannot be told."""
    try:
        return changes_patch(conf_dir())
    except ConfigurationError as error:
        print(f"warning: the record will lack the uncommitted changes: {error}", file=sys.stderr)
        return b""


def circumstances(config: DictConfig, parts: Parts) -> dict[str, Any]:
    """What a run's numbers depend on, apart from its configuration."""
    return {
        "run_id": new_run_id(),
        "seed": config.seed,
        "fingerprint": fingerprint(config),
        "command": command(),
        "git": tree(),
        "packages": packages(),
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "processes": world_size(config.trainer),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "data": {"name": parts.data.name, "checksums": parts.data.checksums},
        "parameters": sum(p.numel() for p in parts.training.model.parameters()),
        "flops_per_image": parts.flops_per_image,
    }


def resume(
    path: Path, signals: Signals, callbacks: Sequence[Callback] = (), meeting: Meeting | None = None
) -> dict[str, float]:
    """Continue the run in a folder from its newest undamaged resume point; a finished one is left alone.

    Raises ResumeError where there is nothing to continue from.
    """
    folder = RunFolder.open(path)
    record = folder.read()
    if folder.status is Status.FINISHED:
        print(f"{path} is finished: nothing to do")
        report(folder, [])
        return record["metrics"]
    points = resume_points(folder.checkpoints)
    checkpoint = next(usable(points), None)
    if checkpoint is None:
        raise ResumeError(
            f"{folder.checkpoints} holds no usable checkpoint ({len(points)} damaged): start the run anew "
            f"with {' '.join(record.get('command', []))}"
        )
    for damaged in points[: points.index(checkpoint)]:
        print(f"warning: {damaged} is damaged: continuing from {checkpoint.name}", file=sys.stderr)
    config = settings_of(folder)
    if fingerprint_in(load(checkpoint)) != fingerprint(config):
        raise ResumeError(f"{checkpoint} belongs to another configuration than the run's own {folder.config}")
    _check_processes(record.get("processes"), config)
    torch.set_num_threads(record["threads"])
    parts = build(config)
    folder.resume()
    folder.update(resumes=record.get("resumes", 0) + 1)
    return fit(config, parts, folder, str(checkpoint), signals, callbacks, meeting)


def _check_processes(had: int | None, config: DictConfig) -> None:
    """Batches and noise are dealt out to processes: with fewer or more of them no bit would be the same."""
    now = world_size(config.trainer)
    if had not in (None, now):
        raise ResumeError(
            f"the run was trained by {had} processes, and its trainer.devices={config.trainer.devices} makes "
            f"{now} here: continue it where as many devices are"
        )


def settings_of(folder: RunFolder) -> DictConfig:
    """The composed configuration of a run."""
    try:
        config = OmegaConf.load(folder.config)
    except (OSError, YAMLError) as error:
        raise ResumeError(
            f"{folder.config} cannot be read ({error}): restore it, or start a new run"
        ) from error
    if not isinstance(config, DictConfig):
        raise ResumeError(f"{folder.config} holds no configuration: restore it, or start a new run")
    return config
