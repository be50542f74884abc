"""Shared by all tests: one thread, and a training small enough to run in a second."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small import SMALL

from aelab.callbacks.signals import Signals
from aelab.composition import compose
from aelab.runs.folder import RunFolder
from aelab.runs.train import quieten, start

torch.set_num_threads(1)
quieten()


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never reach a tracker's server, whatever the developer is logged in to."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., RunFolder]:
    """Train in this process with overrides of a small digits VAE; the run's folder."""

    def run(*overrides: str, base: list[str] = SMALL) -> RunFolder:
        before = set(tmp_path.rglob("record.json"))
        with Signals() as signals:
            start(compose([*base, *overrides, f"outputs={tmp_path}"]), signals)
        (record,) = set(tmp_path.rglob("record.json")) - before
        return RunFolder.open(record.parent)

    return run


@pytest.fixture
def script_environment() -> dict[str, str]:
    """The environment of a script that is run as a user would."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "AELAB"))}
    return {**kept, "OMP_NUM_THREADS": "1", "WANDB_SILENT": "true"}


@pytest.fixture(scope="session")
def real_data():
    """The folder that holds the real data set `name`; the test is skipped where there is none."""

    def find(name: str) -> Path:
        default = Path(__file__).parents[1].parent / "shared" / "data"
        root = Path(os.environ.get("AELAB_TEST_DATA", default))
        if not (root / name).is_dir():
            pytest.skip(f"no folder {root}/{name}; set AELAB_TEST_DATA to a folder that holds {name}/")
        return root

    return find


@pytest.fixture(scope="session")
def mnist_root(real_data):
    return real_data("mnist")
