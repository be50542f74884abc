"""Two processes on one CPU, over gloo, started by the command that a user gives, or as ranks of a starter."""

import json
import os
import signal
import time
from pathlib import Path

import forks
import pytest

from aelab.config.recorded import recorded_settings
from aelab.loggers.jsonl import rows
from aelab.runs.build import build, make_trainer
from aelab.runs.folder import RunFolder, Status
from aelab.training.checkpoints import load, resume_points

ROOT = Path(__file__).parents[1]
DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "threads=1", "logger=[]"]
# 283 validation images in batches of 100 leave three batches for two processes, the last of 83.
UNEVEN = ["data.validation=283", "data.eval_batch_size=100", "values=dynamic"]


def command(folder: Path, *overrides: str) -> list[str]:
    return [str(ROOT / "scripts/train.py"), *DDP, *overrides, f"outputs={folder}"]


# Buffers that training moves, parameters that a step may leave out, gradients of gradients, hooks on codes.
VARIANTS = ["vae", "optimal_sigma_vae", "vamp_vae", "hvae", "dreg_iwae", "joint_vae", "hyperspherical_vae"]
VARIANTS += ["speech_vae"]
SOUNDS = ["data.validation=283", "data.eval_batch_size=100", "data.source.count=800", "data.source.test=100"]


@pytest.fixture(
    scope="module",
    params=[v if v == "vae" else pytest.param(v, marks=pytest.mark.slow) for v in VARIANTS],
)
def finished(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    script_environment: dict[str, str],
) -> tuple[RunFolder, list[dict]]:
    """A run of two processes, and what each of them saw; of `vae` Lightning starts the second."""
    folder = tmp_path_factory.mktemp("ddp")
    probe = ["+callbacks.probe._target_=probing.Probe", f"+callbacks.probe.folder={folder}"]
    uneven = SOUNDS if request.param == "speech_vae" else UNEVEN
    line = command(folder, *uneven, *probe, f"variant={request.param}", "trainer.max_epochs=2")
    if request.param == "vae":
        done = forks.run(*line, env=script_environment)
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        forks.run_ranks(*line, env=script_environment)
    (record,) = folder.rglob("record.json")
    seen = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    return RunFolder.open(record.parent), seen


def test_the_processes_share_one_folder_and_one_record(finished):
    run, _ = finished
    assert run.status is Status.FINISHED
    assert len([row for row in rows(run.metrics) if "val/elbo" in row]) == 2


def test_weights_are_equal_and_noise_differs(finished):
    _, (first, second) = finished
    assert first["weights"] == second["weights"]
    assert len(first["noise"]) == len(second["noise"]) > 0
    assert not set(first["noise"]) & set(second["noise"])


@pytest.mark.parametrize("stage", ["val", "test"])
def test_numbers_equal_those_of_one_process(finished, stage):
    run, _ = finished
    best = load(run.checkpoints / "best.ckpt")
    measured = [
        row for row in rows(run.metrics) if f"{stage}/elbo" in row and row["step"] == best["global_step"]
    ]
    config = recorded_settings(run.config)
    config.trainer.update({"strategy": "auto", "devices": 1})
    parts = build(config)
    parts.training.load_state_dict(best["state_dict"])
    trainer = make_trainer(config, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    evaluate = {"val": trainer.validate, "test": trainer.test}[stage]
    (alone,) = evaluate(parts.training, datamodule=parts.data, verbose=False)
    together = measured[0] if stage == "val" else run.read()["metrics"]
    for name, value in alone.items():
        assert together[name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.slow
def test_sigterm_to_the_first_process_ends_both_and_the_run_resumes_to_the_same_bits(
    tmp_path, script_environment
):
    # Long enough that the signal meets the training also on a machine that is busy with other tests.
    overrides = ["trainer.max_epochs=12", "data.batch_size=16", "trainer.log_every_n_steps=5"]

    def run(line: list[str]) -> int:
        return forks.run(*line, env=script_environment).returncode

    assert run(command(tmp_path / "whole", *overrides)) == 0
    process = forks.start(*command(tmp_path / "killed", *overrides), env=script_environment)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.glob("killed/**/metrics.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(120).returncode == 143
    whole, killed = (
        RunFolder.open(next((tmp_path / name).rglob("record.json")).parent) for name in ("whole", "killed")
    )
    assert killed.status is Status.KILLED
    assert run([str(ROOT / "scripts/train.py"), f"resume={killed.path}"]) == 0
    assert killed.metrics.read_bytes() == whole.metrics.read_bytes()
    ends = [load(resume_points(r.checkpoints)[0])["state_dict"] for r in (whole, killed)]
    assert all(v.equal(ends[1][k]) for k, v in ends[0].items())
