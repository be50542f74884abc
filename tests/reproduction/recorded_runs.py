"""A git repository with the project's code, and a run that was trained from it."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from small import SMALL

from aelab.config.compose import compose
from aelab.reproduction.reproduce import main
from aelab.reproduction.retraining import CodeTree, retrain
from aelab.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]


def git(where: Path, *arguments: str, feed: bytes | None = None) -> bytes:
    """What a git command prints in a folder."""
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    call = ["git", *who, *arguments]
    return subprocess.run(call, cwd=where, input=feed, capture_output=True, check=True).stdout


def make_repository(top: Path) -> Path:
    """One commit of all that trains."""
    hidden = shutil.ignore_patterns("__pycache__")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, top / name, ignore=hidden)
    git(top, "init", "--quiet")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message", "all")
    return top


def make_run(
    repository: Path, outputs: Path, *overrides: str, base: Sequence[str] = tuple(SMALL)
) -> RunFolder:
    """A run that the code of a repository has trained."""
    outputs.mkdir(parents=True, exist_ok=True)
    settings = compose([*base, *overrides])
    return retrain(CodeTree(repository / "src", repository / "conf"), settings, 1, outputs)


def copy(run: RunFolder, path: Path) -> RunFolder:
    """The same run elsewhere."""
    return RunFolder(Path(shutil.copytree(run.path, path)))


def alter(run: RunFolder, **fields: Any) -> RunFolder:
    """Change the record, as a forger would."""
    run.record.write_text(json.dumps(run.read() | {"files": {}} | fields))
    return run


def configure(run: RunFolder, key: str, value: Any) -> RunFolder:
    """Change one option of the configuration, as a forger would."""
    config = OmegaConf.load(run.config)
    OmegaConf.update(config, key, value)
    OmegaConf.save(config, run.config)
    run.seal(run.config)
    return run


def reproduce(*overrides: str) -> int:
    """Run scripts/reproduce.py in this process; the exit code."""
    quoted = [o if "=" in o else f"run='{o}'" for o in overrides]
    try:
        main(compose(quoted, "reproduce"))
    except SystemExit as end:
        return end.code
    return 0


def report(outputs: Path) -> dict[str, Any]:
    """The only report of a reproduction."""
    (path,) = outputs.glob("*/reproduction.json")
    return json.loads(path.read_text())
