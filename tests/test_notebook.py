"""The notebook of the how-to pages runs from top to bottom."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs/howto/notebook.ipynb"


def program():
    """The code of its cells, lines for the shell included."""
    yield "import subprocess"
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            for line in "".join(cell["source"]).splitlines():
                yield f"subprocess.run({shlex.split(line[1:])}, check=True)" if line[0:1] == "!" else line


@pytest.mark.slow
def test_every_cell_runs(tmp_path):
    bin = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = [sys.executable, "-c", "\n".join(program())]
    env = {**os.environ, "PATH": bin, "WANDB_MODE": "offline"}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("outputs/vae_digits/*/record.json"))
