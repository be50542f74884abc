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
PATIENCE = 60.0  # seconds that a training that is told to stop is given for its last resume point


@dataclass(frozen=True)
class Source:
    """Code that trains. path: the folder that holds its package `aelab`. conf: its configuration."""

    path: Path
    conf: Path


def train_again(source: Source, settings: DictConfig, threads: int, outputs: Path) -> RunFolder:
    """Train in a new folder below `outputs`, without trackers; the new run.

    The configuration decides alone: no command line that a record names is executed.

    Raises:
        RunError: the training did not finish.
    """
    before = set(outputs.rglob("record.json"))
    placed = OmegaConf.merge(settings, {"outputs": str(outputs), "resume": None, "logger": None})
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "config.yaml"
        OmegaConf.save(placed, path)
        code = _run([str(path), str(threads), str(source.path)], source)
    made = [RunFolder(record.parent) for record in set(outputs.rglob("record.json")) - before]
    if code or len(made) != 1:
        where = f"; what there is of it lies in {made[0].path}" if made else ""
        raise RunError(f"the training ended with exit code {code}, as it says above{where}")
    return made[0]


def _run(arguments: list[str], source: Source) -> int:
    """The exit code of the recorded code's own child.py; a signal that ends this process ends it too."""
    script = source.path / "aelab" / "reproduction" / "child.py"
    child = subprocess.Popen([sys.executable, str(script), *arguments], env=_surroundings(source))
    try:
        return child.wait()
    except BaseException:
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
        raise


def _surroundings(source: Source) -> dict[str, str]:
    """This process's environment, with the recorded code first, and without another training's variables."""
    kept = {name: value for name, value in os.environ.items() if name not in (RUN, CHECKPOINT, *RANK)}
    path = os.pathsep.join(filter(None, [str(source.path), kept.get("PYTHONPATH")]))
    # Safe: neither the folder of child.py nor the current one is searched for modules.
    return {**kept, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
