"""Shared by all tests: one thread, and a training small enough to run in a second."""

import gc
import io
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache, lru_cache
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from hydra._internal import defaults_list
from omegaconf import DictConfig, OmegaConf
from small import SMALL, TINY

from aelab.config.compose import compose
from aelab.core.signals import Signals
from aelab.evaluation.evaluate import main as evaluate_run
from aelab.runs import train as training
from aelab.runs.fit import quieten
from aelab.runs.folder import RunFolder

torch.set_num_threads(1)
quieten()
# Processes are killed here and machines are not: what a process has written outlives it without a flush.
os.fsync = lambda _: None
_load = OmegaConf.load


@cache
def _parsed(text: str) -> Any:
    return _load(io.StringIO(text))


def _load_again(file: str | Path | IO[str]) -> Any:
    """`OmegaConf.load`, which parses each content once: a fifth of the time that composing takes."""
    return deepcopy(_parsed(Path(file).read_text("utf-8") if isinstance(file, str | Path) else file.read()))


OmegaConf.load = _load_again
_choices_known = defaults_list._create_interpolation_map


def _choices_asked(overrides: Any, defaults: Any, self_added: bool) -> Any:
    """What Hydra makes for each file, a fifth of composing, and reads where a default is interpolated."""
    asked = any(default.is_interpolation() for default in defaults)
    return _choices_known(overrides, defaults, self_added) if asked else None


defaults_list._create_interpolation_map = _choices_asked


def pytest_collection_finish() -> None:
    """All that is imported now stays: the garbage collector need not look at it again in every test."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never reach a tracker's server, whatever the developer is logged in to."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., RunFolder]:
    """Train in this process with overrides of a small digits VAE; the run's folder."""
    return lambda *overrides, base=SMALL: _trained(tmp_path, [*base, *overrides])


@pytest.fixture(scope="module")
def train_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunFolder]:
    """The same for the runs that a module's tests share."""
    root = tmp_path_factory.mktemp("runs")
    return lambda *overrides, base=SMALL: _trained(root, [*base, *overrides])


def _trained(root: Path, overrides: list[str]) -> RunFolder:
    before = set(root.rglob("record.json"))
    config = deepcopy(_training(*overrides))
    config.outputs = str(root)
    with Signals() as signals:
        training.train(config, signals)
    (record,) = set(root.rglob("record.json")) - before
    return RunFolder.open(record.parent)


@lru_cache(256)
def _training(*overrides: str) -> DictConfig:
    return compose(overrides)


@pytest.fixture(scope="session")
def evaluation_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the tests' own, in which the feature networks of evaluations are kept."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def evaluate(evaluation_cache: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Evaluate a run in this process by a tiny suite with overrides; what the suite left in the run."""

    def run(folder: RunFolder, *overrides: str, suite: str = "quick") -> dict[str, Any]:
        evaluate_run(OmegaConf.merge(_evaluation(f"suite={suite}", *overrides), {"run": str(folder.path)}))
        return folder.read_evaluations()[suite]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AELAB_DATA", str(evaluation_cache))
        yield run


@cache
def _evaluation(*overrides: str) -> DictConfig:
    return compose(["run=none", *TINY, *overrides], "evaluate")


@pytest.fixture(scope="session")
def script_environment() -> dict[str, str]:
    """The environment of a script that is run as a user would, and finds the parts that tests bring along."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "AELAB"))}
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, "OMP_NUM_THREADS": "1", "WANDB_SILENT": "true", "PYTHONPATH": path}


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The folder that holds the real data set `name`; the test is skipped where there is none."""

    def find(name: str) -> Path:
        default = Path(__file__).parents[1].parent / "shared" / "data"
        root = Path(os.environ.get("AELAB_TEST_DATA", default))
        if not (root / name).is_dir():
            pytest.skip(f"no folder {root}/{name}; set AELAB_TEST_DATA to a folder that holds {name}/")
        return root

    return find


@pytest.fixture(scope="session")
def mnist_root(real_data: Callable[[str], Path]) -> Path:
    return real_data("mnist")
