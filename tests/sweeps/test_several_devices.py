"""Trials of several processes each, and GPUs dealt out to trials."""

import os
import signal
import time
from collections import Counter
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import forks
import pytest
from small import SMALL

from aelab.cluster import gpus
from aelab.cluster.gpus import VISIBLE, GpuPool, gpu_pool, visible_gpus
from aelab.core.errors import ConfigurationError
from aelab.runs.folder import RunFolder, Status
from aelab.sweeps.launchers.base import LaunchContext
from aelab.sweeps.launchers.local import Local
from aelab.sweeps.messages import ProcessEnded
from aelab.sweeps.trial_process import TrialRequest
from aelab.training.checkpoints import load

TRAIN = str(Path(__file__).parents[2] / "scripts/train.py")
DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


def command(root: Path, *overrides: str) -> list[str]:
    return [TRAIN, "-m", *SMALL, *DDP, *overrides, f"outputs={root}"]


def run(line: list[str], environment: dict[str, str]) -> CompletedProcess[str]:
    return forks.run(*line, env=environment)


def runs(root: Path) -> list[RunFolder]:
    found = [RunFolder.open(record.parent) for record in root.rglob("record.json")]
    return sorted(found, key=lambda run: run.read()["seed"])


def weights(folder: RunFolder) -> dict:
    return load(folder.checkpoints / "best.ckpt")["state_dict"]


@pytest.mark.slow
def test_two_trials_of_two_processes_at_once(tmp_path, script_environment):
    done = run(command(tmp_path, "seed=0,1", "sweep.workers=2"), script_environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [each.status for each in runs(tmp_path)] == [Status.FINISHED, Status.FINISHED]


@pytest.mark.slow
def test_a_trial_of_two_processes_is_the_run_that_its_command_makes(tmp_path, script_environment):
    offline = {**script_environment, "WANDB_MODE": "offline"}
    done = run(command(tmp_path, "logger=[wandb]", "seed=0,1"), offline)
    assert done.returncode == 0, done.stdout + done.stderr
    found = runs(tmp_path)
    assert [len(list(each.path.rglob("run-*.wandb"))) for each in found] == [1, 1]
    alone = found[1].read()["command"]
    assert "-m" not in alone
    done = run([*alone[1:], f"outputs={tmp_path / 'alone'}", "logger=[]"], script_environment)
    assert done.returncode == 0, done.stderr
    (again,) = runs(tmp_path / "alone")
    assert all(value.equal(weights(again)[name]) for name, value in weights(found[1]).items())


@pytest.mark.slow
def test_a_trial_whose_second_process_dies_fails_alone(tmp_path, script_environment):
    long = ["trainer.max_epochs=400,2", "trainer.check_val_every_n_epoch=2", "seed=0"]
    process = forks.start(*command(tmp_path, *long), env=script_environment)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.rglob("metrics.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (second,) = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and b"LOCAL_RANK=1\0" in _bytes(entry / "environ")
        and str(tmp_path).encode() in _bytes(entry / "cmdline")
    ]  # fmt: skip
    os.kill(second, signal.SIGKILL)
    done = process.wait()
    assert done.returncode == 1
    assert "failed    trial 0" in done.stdout
    states = Counter(each.status for each in runs(tmp_path))
    assert states[Status.FINISHED] == 1
    assert states[Status.FAILED] + states[Status.KILLED] == 1


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.slow
def test_all_processes_of_a_bad_trial_end_at_the_same_validation(tmp_path, script_environment):
    prunes = ["sweep/pruner=median", "sweep.pruner.n_startup_trials=1", "trainer.max_epochs=4"]
    # The second learning rate leaves the weights nearly where they were, which is worse from the start.
    line = command(tmp_path, "optimizer.lr=1e-2,1e-9", *prunes)
    done = run(line, script_environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Counter(each.status for each in runs(tmp_path)) == {Status.FINISHED: 1, Status.PRUNED: 1}
    logs = "".join(log.read_text() for log in tmp_path.rglob("trial-*.log"))
    assert "Traceback" not in logs


def test_each_gpu_belongs_to_one_trial_at_a_time():
    pool = GpuPool(["0", "1", "2", "3", "4"], each=2)
    assert (pool.acquire(7), pool.acquire(8)) == (["0", "1"], ["2", "3"])
    with pytest.raises(IndexError):
        pool.acquire(9)
    pool.release(7)
    assert pool.acquire(9) == ["0", "1"]


def test_gpus_are_those_that_this_process_may_use():
    assert visible_gpus(3, {}) == ["0", "1", "2"]
    assert visible_gpus(2, {VISIBLE: "GPU-ab,3"}) == ["GPU-ab", "3"]
    assert visible_gpus(0, {VISIBLE: ""}) == []


def test_more_trials_at_once_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(gpus.torch.cuda, "device_count", lambda: 8)
    monkeypatch.delenv(VISIBLE, raising=False)
    assert len(gpu_pool(4, 2).names) == 8
    with pytest.raises(ConfigurationError, match=r"sweep\.workers=4 at most"):
        gpu_pool(5, 2)


def test_a_sweep_on_gpus_that_are_not_there_is_refused_at_once(sweep, runs):
    said, code = sweep("seed=0,1", "trainer=gpu")
    assert code == 1
    assert "error: trainer.accelerator=gpu, and torch finds no GPU" in said
    assert not runs()


def test_a_trial_sees_its_own_gpus_and_share_of_cores(tmp_path):
    def work(request, channel):
        channel.send((os.environ[VISIBLE], os.environ["OMP_NUM_THREADS"]))
        channel.recv()

    plan = SimpleNamespace(ranks=1, compositions=(), gpu_pool=lambda: GpuPool(["2", "5"], each=1))
    launcher = Local(LaunchContext(work, SimpleNamespace(plan=plan), 2, True, tmp_path))
    seen, ended = {}, []

    def handle(number, message):
        if isinstance(message, ProcessEnded):
            ended.append(number)
            return None
        seen[number] = message
        return True if number == 0 else None  # the second one goes on

    launcher.start([TrialRequest(number, (), (), tmp_path / "log") for number in (0, 1)])
    while not ended:
        launcher.poll(5.0, handle)
    threads = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert (seen, ended) == ({0: ("2", threads), 1: ("5", threads)}, [0])
    launcher.start([TrialRequest(2, (), (), tmp_path / "log")])
    while 2 not in seen:
        launcher.poll(5.0, handle)
    assert seen[2][0] == "2"
    launcher.stop()
