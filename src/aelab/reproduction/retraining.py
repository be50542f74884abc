"""A recorded configuration trained by recorded code, in a process of its own."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from aelab.core.errors import RunError
from aelab.runs.fit import CHECKPOINT, RUN
from aelab.runs.folder import RunFolder

RANK = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TRAINING_PROCESS = "aelab/reproduction/training_process.py"
PATIENCE = 60.0  # seconds that a training has for its last resume point once it is terminated


@dataclass(frozen=True)
class CodeTree:
    """The code that trains.

    path: the folder that holds its package `aelab`.  conf: its configuration.
    """

    path: Path
    conf: Path


def retrain(code: CodeTree, settings: DictConfig, threads: int, outputs: Path) -> RunFolder:
    """The run of a configuration, trained in a new folder below `outputs` without trackers.

    No command line that a record names is executed.

    Raises:
        RunError: the training did not finish.
    """
    before = set(outputs.rglob("record.json"))
    placed = OmegaConf.merge(settings, {"outputs": str(outputs), "resume": None, "logger": None})
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "config.yaml"
        OmegaConf.save(placed, path)
        exit_code = _run([str(path), str(threads), str(code.path)], code)
    made = [RunFolder(record.parent) for record in set(outputs.rglob("record.json")) - before]
    if exit_code or len(made) != 1:
        where = f"; what there is of it lies in {made[0].path}" if made else ""
        raise RunError(f"the training ended with exit code {exit_code}, as it says above{where}")
    return made[0]


def _run(arguments: list[str], code: CodeTree) -> int:
    """The exit code of the code's own training_process.py, which a signal that ends this process ends too."""
    script = code.path / TRAINING_PROCESS
    child = subprocess.Popen([sys.executable, str(script), *arguments], env=_environment(code))
    try:
        return child.wait()
    except BaseException:
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
        raise


def _environment(code: CodeTree) -> dict[str, str]:
    """This process's environment, with the recorded code first, and without another training's variables."""
    kept = {name: value for name, value in os.environ.items() if name not in (RUN, CHECKPOINT, *RANK)}
    path = os.pathsep.join(filter(None, [str(code.path), kept.get("PYTHONPATH")]))
    # Safe: neither the folder of training_process.py nor the current one is searched for modules.
    return {**kept, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
