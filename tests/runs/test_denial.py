"""Folders that were made to take a process down: endless, deep, or of sizes that no machine has."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from small import SMALL, rewrite
from torch import nn

import aelab
from aelab.comparison.run_summaries import read_runs
from aelab.config.compose import compose
from aelab.core.errors import AelabError, ConfigurationError, RunError
from aelab.core.memory import BoundedMemory, enough_memory
from aelab.core.untrusted import LARGEST
from aelab.runs.build import build
from aelab.runs.folder import Run, RunFolder
from aelab.training.checkpoints import is_whole

ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


@pytest.fixture(scope="module")
def run(train_once):
    return train_once()


@pytest.fixture
def copy(run, tmp_path):
    return RunFolder(Path(shutil.copytree(run.path, tmp_path / "runs" / "bad")))


def endless(path: Path) -> None:
    """A file of so many zeros that no memory holds them, on a few blocks of the disk."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(2**42)


ATTACKS = {
    "brackets": lambda run: run.config.write_text("a: " + "[" * 30_000),
    "flow": lambda run: run.config.write_text("{a: " * 30_000),
    "indents": lambda run: run.config.write_text("".join(" " * n + "a:\n" for n in range(500))),
    "aliases": lambda run: run.config.write_text(run.config.read_text() + ALIASES),
    "itself": lambda run: run.config.write_text(run.config.read_text() + "spare: &a {b: *a}\n"),
    "a large configuration": lambda run: endless(run.config),
    "a deep record": lambda run: run.record.write_text('{"status": ' + "[" * 900 + "]" * 900 + "}"),
    "a deeper record": lambda run: run.record.write_text("[" * 100_000),
    "a large record": lambda run: endless(run.record),
    "a record of another script": lambda run: run.record.write_bytes(b'{"status": "\xff\xfe"}'),
    "a pipe": lambda run: (run.config.unlink(), os.mkfifo(run.config)),
    "a device": lambda run: (run.record.unlink(), run.record.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_folder_is_refused_at_once_and_the_others_are_compared(run, copy, attack):
    ATTACKS[attack](copy)
    shutil.copytree(run.path, copy.path.parent / "good")
    began = time.monotonic()
    with pytest.raises(RunError):
        Run.open(copy.path).folder.read()
    runs, skipped = read_runs([str(copy.path.parent)])
    assert [found.path.name for found in runs] == ["good"]
    assert list(skipped) == [str(copy.path)]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), endless])
def test_what_is_no_file_is_no_checkpoint(tmp_path, make):
    make(tmp_path / "best.ckpt")
    assert not is_whole(tmp_path / "best.ckpt")


SIZES = {
    "latent": {"latent": 10**9, "model.latent": 10**9},
    "widths": {"model.encoder.widths": [10**9]},
}


@pytest.mark.parametrize("sizes", SIZES)
def test_sizes_that_no_memory_holds_are_refused_in_a_sentence(copy, sizes):
    config = OmegaConf.load(copy.config)
    for key, value in SIZES[sizes].items():
        OmegaConf.update(config, key, value)
    OmegaConf.save(config, copy.config)
    with pytest.raises(AelabError, match="another configuration"):  # before anything is built
        aelab.load(copy.path)
    with pytest.raises(AelabError, match=r"memory|other weights|another model"):
        aelab.load(rewrite(copy, config).path)


@pytest.mark.parametrize(
    "choice",
    [
        "latent=1000000000",
        "model.encoder.widths=[1000000000]",
        "model.classes=1000000000 condition=label",
        "objective.samples=1000000000000",
        "variant=hvae model.structure.steps=100000000",
    ],
)
def test_a_training_of_such_sizes_is_refused_in_a_sentence(tmp_path, choice):
    with pytest.raises(ConfigurationError, match="memory"):
        build(compose([*SMALL, *choice.split(), f"outputs={tmp_path}"]))


def test_memory_is_counted_before_it_is_asked_for():
    for ask in (
        lambda: nn.Linear(10**9, 10**6, bias=False),
        lambda: torch.zeros(10**9, 10**6, requires_grad=False),
        lambda: torch.zeros(size=(10**9, 10**6)),
        lambda: torch.zeros(1).new_zeros(10**15),
        lambda: torch.eye(10**8),
        lambda: torch.arange(10**15),
        lambda: [torch.zeros(0) for _ in range(10**9)],
    ):
        with pytest.raises(ConfigurationError, match="GB"), BoundedMemory():
            ask()
    with pytest.raises(ConfigurationError, match="not enough"), enough_memory():
        torch.zeros(1).repeat(10**15)
    with pytest.raises(RuntimeError, match="stride"), enough_memory():
        raise RuntimeError("stride")
    with BoundedMemory():
        assert torch.equal(nn.Linear(3, 2)(torch.ones(4, 3, dtype=torch.float32)).new_ones(2), torch.ones(2))


def test_the_bounds_hold_what_a_run_writes(run):
    assert run.config.stat().st_size < LARGEST / 100
    assert Run.open(run.path).folder.read().items() <= json.loads(run.record.read_bytes()).items()
