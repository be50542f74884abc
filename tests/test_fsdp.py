"""Weights in shards over two processes: the same bits as whole ones, in checkpoints that anybody can read."""

from pathlib import Path

import forks
import pytest
from small import SMALL

import aelab
from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.runs.build import build
from aelab.runs.folder import RunFolder, Status
from aelab.training.checkpoints import load, resume_points

TRAIN = str(Path(__file__).parents[1] / "scripts/train.py")
# 283 validation images in batches of 100 leave the second process without any of the last batch.
TWO = [
    *SMALL, "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=2", "data.validation=283",
    "data.eval_batch_size=100", "trainer.limit_train_batches=1.0", "trainer.log_every_n_steps=2",
]  # fmt: skip
POINTS = ["resume_points.every_batches=1", "resume_points.keep=50"]


def run(environment: dict[str, str], *overrides: str) -> None:
    done = forks.run(TRAIN, *overrides, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def trained(root: Path, environment: dict[str, str], *overrides: str) -> RunFolder:
    forks.run_ranks(TRAIN, *TWO, *overrides, f"outputs={root}", env=environment)
    (record,) = root.rglob("record.json")
    return RunFolder.open(record.parent)


def states(path: Path) -> list[dict]:
    """Weights, and the optimiser's state of each."""
    checkpoint = load(path)
    (optimizer,) = checkpoint["optimizer_states"]
    return [checkpoint["state_dict"], *(state for _, state in sorted(optimizer["state"].items()))]


def same(one: list[dict], other: list[dict]) -> bool:
    return all(value.equal(b[name]) for a, b in zip(one, other, strict=True) for name, value in a.items())


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["vae", "vamp_vae", "optimal_sigma_vae", "dreg_iwae"])
def test_shards_train_to_the_bits_of_whole_weights(tmp_path, script_environment, variant):
    whole, sharded = (
        trained(tmp_path / name, script_environment, f"variant={variant}", f"trainer={name}")
        for name in ("ddp", "fsdp")
    )
    assert sharded.metrics.read_bytes() == whole.metrics.read_bytes()
    assert same(states(sharded.checkpoints / "best.ckpt"), states(whole.checkpoints / "best.ckpt"))
    assert aelab.load(sharded.path) is not None


# A moving average that each process would keep for itself is part of the run too.
@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["ddp", "fsdp"])
def test_a_run_continues_to_the_same_bits(tmp_path, script_environment, trainer):
    overrides = [*POINTS, f"trainer={trainer}", "variant=optimal_sigma_vae"]
    folder = trained(tmp_path, script_environment, *overrides)
    end, journal = states(resume_points(folder.checkpoints)[0]), folder.metrics.read_bytes()
    folder.update(status=Status.KILLED)
    for point in resume_points(folder.checkpoints)[:5]:
        point.unlink()
    run(script_environment, f"resume={folder.path}")
    assert same(states(resume_points(folder.checkpoints)[0]), end)
    assert folder.metrics.read_bytes() == journal


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("training.gradient_clip_val=1", "gradient_clip_val"),
        ("training.compile=networks", "compile"),
        ("callback=ema", "ema"),
        ("objective/penalty=l2", "penalty"),
        ("trainer.precision=bf16-mixed", "precision"),
        ("trainer.inference_mode=true", "inference_mode"),
        ("variant=hvae", "hamiltonian"),
    ],
)
def test_what_needs_whole_weights_is_refused(override, named):
    with pytest.raises(ConfigurationError, match=named):
        build(compose([*SMALL, "trainer=fsdp", "trainer.accelerator=cpu", override]))
