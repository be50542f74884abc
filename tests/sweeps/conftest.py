"""A sweep in the test's own process."""

import sys

import pytest
from small import SMALL

from aelab.cli.train import main as train_main
from aelab.config.compose import command
from aelab.data import preloaded
from aelab.runs.folder import RunFolder


@pytest.fixture
def sweep(tmp_path, monkeypatch, capsys):
    """Run scripts/train.py -m in this process; what it printed and its exit code."""
    monkeypatch.setattr(preloaded, "_preloaded", {})  # for the forks of this sweep alone

    def run(*overrides, flag=("-m",)):
        monkeypatch.setattr(sys, "argv", ["train.py", *flag, *SMALL, f"outputs={tmp_path}", *overrides])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "")  # so that what the command sets is undone, too
        monkeypatch.delenv("HYDRA_FULL_ERROR")
        code = 0
        try:
            command("train")(train_main)()
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return out + err, code

    return run


@pytest.fixture
def runs(tmp_path):
    return lambda: [RunFolder(path.parent) for path in tmp_path.glob("*/*/record.json")]
