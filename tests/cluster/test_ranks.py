"""Processes that torchrun, Slurm and a user's script start: one folder, and the weights of one machine."""

import subprocess
import sys
from pathlib import Path

import forks
import pytest
from forks import free_port

from aelab.runs.folder import RunFolder, Status
from aelab.training.checkpoints import load, resume_points

ROOT = Path(__file__).parents[2]
TRAIN = str(ROOT / "scripts/train.py")
SMALL = [
    "trainer=ddp", "trainer.accelerator=cpu", "threads=1", "trainer.max_epochs=1",
    "trainer.limit_train_batches=3", "model.encoder.widths=[16]", "model.decoder.widths=[16]",
]  # fmt: skip
DEVICES = ["trainer.devices=2"]
NODES = ["trainer.devices=1", "trainer.num_nodes=2"]


def run(environments: list[dict[str, str]], script_environment: dict[str, str], *command: str) -> list:
    """Start a command once in each environment; each process's (exit code, output)."""
    started = [
        forks.start(*command, env={**script_environment, "WANDB_MODE": "offline", **more})
        for more in environments
    ]
    done = [script.wait(120) for script in started]
    return [(process.returncode, process.stdout + process.stderr) for process in done]


def only_run(root: Path) -> RunFolder:
    (record,) = root.rglob("record.json")
    assert not (root / ".rendezvous").exists()
    return RunFolder.open(record.parent)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, script_environment):
    """The weights of two processes that Lightning starts on one machine."""
    root = tmp_path_factory.mktemp("alone")
    done = run([{}], script_environment, TRAIN, *SMALL, *DEVICES, "logger=[]", f"outputs={root}")
    assert done[0][0] == 0, done
    return weights(only_run(root))


def weights(folder: RunFolder) -> dict:
    return load(folder.checkpoints / "best.ckpt")["state_dict"]


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(value.equal(other[name]) for name, value in one.items())


def slurm(port, rank, tasks=2):
    """What srun gives a task."""
    return {
        "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": str(tasks), "SLURM_NTASKS": "8",
        "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0", "SLURM_JOB_NAME": "train",
        "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip


def by_hand(port, rank):
    """What a user gives the one process that is started on each node."""
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(rank)}


@pytest.mark.slow
@pytest.mark.parametrize(("starter", "overrides"), [(slurm, DEVICES), (by_hand, NODES)])
def test_one_folder_and_the_same_weights(tmp_path, script_environment, alone, starter, overrides):
    port = free_port()
    environments = [starter(port, rank) for rank in (0, 1)]
    logger = "logger=[wandb]"
    done = run(environments, script_environment, TRAIN, *SMALL, *overrides, logger, f"outputs={tmp_path}")
    assert [code for code, _ in done] == [0, 0], done
    folder = only_run(tmp_path)
    assert folder.status is Status.FINISHED
    assert same(weights(folder), alone)
    assert len(list(folder.path.rglob("run-*.wandb"))) == 1


@pytest.mark.slow
def test_torchrun_on_two_nodes(tmp_path, script_environment, alone):
    address = f"--master-port={free_port()}"
    nodes = [
        ["-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={node}", "--nproc-per-node=1", address]
        for node in (0, 1)
    ]
    line = [TRAIN, *SMALL, *NODES, "logger=[]", f"outputs={tmp_path}"]
    processes = [
        subprocess.Popen([sys.executable, *node, *line], env=script_environment, stdout=subprocess.DEVNULL)
        for node in nodes
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert same(weights(only_run(tmp_path)), alone)


@pytest.mark.slow
def test_all_continue_from_the_same_point(tmp_path, script_environment):
    def start(*overrides):
        environments = [slurm(port := free_port(), 0), slurm(port, 1)]
        return run(environments, script_environment, TRAIN, *overrides)

    every = ["trainer.limit_train_batches=1.0", "logger=[]"]
    every += ["resume_points.every_batches=1", "trainer.log_every_n_steps=2"]
    assert [code for code, _ in start(*SMALL, *DEVICES, *every, f"outputs={tmp_path}")] == [0, 0]
    folder = only_run(tmp_path)
    before, journal = weights(folder), folder.metrics.read_bytes()
    folder.update(status="killed")
    resume_points(folder.checkpoints)[0].unlink()  # the end, so that some steps are left
    done = start(f"resume={folder.path}")
    assert [code for code, _ in done] == [0, 0], done
    assert same(weights(folder), before)
    assert folder.metrics.read_bytes() == journal
    assert only_run(tmp_path).read()["resumes"] == 1
    again = start(f"resume={folder.path}")
    assert [code for code, _ in again] == [0, 0], again


def test_what_the_first_refuses_ends_all_and_leaves_nothing(tmp_path, script_environment):
    environments = [slurm(port := free_port(), 0), slurm(port, 1)]
    wrong = ["data.batch_size=0", "logger=[]", f"outputs={tmp_path / 'out'}"]
    done = run(environments, script_environment, TRAIN, *SMALL, *DEVICES, *wrong)
    assert [code for code, _ in done] == [1, 1]
    assert all(output.startswith("error: ") and "data.batch_size=0" in output for _, output in done)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
