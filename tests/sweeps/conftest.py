"""A sweep in the test's own process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small import SMALL

from aelab.cli.console import run as run_command
from aelab.data import preloaded
from aelab.runs.folder import RunFolder


@pytest.fixture
def sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, int]]:
    """Run scripts/train.py -m in this process; what it printed and its exit code."""
    monkeypatch.setattr(preloaded, "_preloaded", {})  # for the forks of this sweep alone

    def run(*overrides: str, flag: tuple[str, ...] = ("-m",)) -> tuple[str, int]:
        monkeypatch.setattr(sys, "argv", ["train.py", *flag, *SMALL, f"outputs={tmp_path}", *overrides])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "")  # so that what the command sets is undone, too
        monkeypatch.delenv("HYDRA_FULL_ERROR")
        code = 0
        try:
            run_command("train")
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return out + err, code

    return run


@pytest.fixture
def runs(tmp_path: Path) -> Callable[[], list[RunFolder]]:
    """The runs of a sweep until now."""
    return lambda: [RunFolder(path.parent) for path in tmp_path.glob("*/*/record.json")]
