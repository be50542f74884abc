"""A folder to be continued may come from anywhere, too: what it names is not called, no link is followed."""

import os
import shutil
from pathlib import Path

import forks
import pytest
from omegaconf import OmegaConf

from aelab.config.identity import fingerprint
from aelab.core.errors import RunError
from aelab.core.signals import Signals
from aelab.runs.find import run_as
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.train import resume, take_part

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(train_once):
    return train_once("resume_points.every_batches=1", "pictures.every_n_epochs=1")


@pytest.fixture
def killed(run, tmp_path):
    """A copy of a run that was killed."""
    copy = RunFolder(Path(shutil.copytree(run.path, tmp_path / "run")))
    copy.update(status=Status.KILLED)
    return copy


CALLS = {
    "torch.load": {"f": "BOMB", "weights_only": False},
    "shutil.copy": {"src": "BOMB", "dst": "CANARY"},
    "pathlib.Path.write_text": {"self": "CANARY", "data": "x"},
    "aelab.loggers.wandb.os.system": {"command": "touch CANARY"},
}


@pytest.mark.parametrize("target", CALLS)
@pytest.mark.parametrize("place", ["logger.mine", "callbacks.mine", "trainer.profiler", "lr_schedule"])
def test_what_its_configuration_names_is_not_called(killed, tmp_path, target, place):
    canary, bomb = tmp_path / "canary", tmp_path / "bomb"
    bomb.write_bytes(b"x")
    named = {key: str(value).replace("CANARY", str(canary)) for key, value in CALLS[target].items()}
    config = OmegaConf.load(killed.config)
    OmegaConf.update(config, place, {"_target_": target, **named}, merge=False)
    OmegaConf.save(config, killed.config)
    with pytest.raises(RunError, match="no part that conf/ lists"):
        resume(Run.open(killed.path), Signals())
    assert not canary.exists()


def test_the_command_refuses_in_a_sentence(killed, script_environment):
    config = OmegaConf.load(killed.config)
    config.logger = {"mine": {"_target_": "torch.load", "f": "x", "weights_only": False}}
    assert fingerprint(config) == killed.read()["fingerprint"]  # none need be forged
    OmegaConf.save(config, killed.config)
    done = forks.run(ROOT / "scripts/train.py", f"resume={killed.path}", env=script_environment)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: ")
    assert "'torch.load'" in done.stderr


LINKS = (
    "metrics.jsonl", "timing.jsonl", "config.yaml", "record.json", "changes.patch", "checkpoints", "pictures",
    "checkpoints/best.ckpt", "pictures/samples.png", "evaluation.json", "trackers", "trackers/csv",
    "trackers/wandb/debug.log", "trackers/a/b/c/logs/log", ".lock",
)  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_nothing_is_written_through_its_links(killed, tmp_path, name):
    outside, link = tmp_path / "outside", killed.path / name
    if link.exists():
        link.rename(outside)
    else:
        outside.write_text("kept")
        link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    before = {path: path.read_bytes() for path in (outside, *outside.rglob("*")) if path.is_file()}
    with pytest.raises(RunError, match="is a link"):
        resume(Run.open(killed.path), Signals())
    assert {path: path.read_bytes() for path in (outside, *outside.rglob("*")) if path.is_file()} == before


def test_the_links_of_a_tracker_are_its_own(killed):
    wandb = killed.path / "trackers" / "wandb"
    (wandb / "offline-run-1" / "logs").mkdir(parents=True)
    (wandb / "latest-run").symlink_to("offline-run-1")
    (wandb / "offline-run-1" / "logs" / "debug-core.log").symlink_to("/nowhere/core.log")
    assert Run.open(killed.path).folder.path == killed.path


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(killed):
    for path in (*killed.checkpoints.glob("*"), killed.metrics):
        path.unlink()
        os.mkfifo(path)
    with pytest.raises(RunError, match="neither file nor folder"):
        resume(Run.open(killed.path), Signals())


def test_a_process_that_takes_part_asks_the_plan_what_its_parts_are(killed):
    planned = Run.planned(OmegaConf.load(killed.config))
    assert run_as(planned, killed.path).settings is planned.settings
    config = OmegaConf.load(killed.config)
    config.latent += 1
    OmegaConf.save(config, killed.config)
    with pytest.raises(RunError, match="another configuration"):
        take_part(run_as(planned, killed.path), None, Signals())
