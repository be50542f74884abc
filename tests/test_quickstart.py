"""What `make train` does, as a user sees it: the table, the pictures, and the tracker read back."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from aelab.loggers.jsonl import rows
from aelab.runs.folder import RunFolder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """The defaults, without an account: what was printed, and the run's folder."""
    folder = tmp_path_factory.mktemp("quickstart")
    line = [sys.executable, str(ROOT / "scripts/train.py"), "trainer.max_epochs=5", "threads=1"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder / "home")}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (record,) = folder.rglob("record.json")
    return done.stdout, folder, RunFolder.open(record.parent)


@pytest.mark.slow
def test_it_ends_with_the_metrics_the_folder_the_pictures_and_the_sync_line(quickstart):
    printed, folder, run = quickstart
    for name in run.read()["metrics"]:
        assert f" {name.removeprefix('test/')} " in printed
    assert f"run       {run.path.relative_to(folder)}" in printed
    place, names = re.search(r"pictures  (\S+): (.+)", printed).groups()
    assert names == "reconstructions, samples"
    for path in (folder / place / f"{name}.png" for name in names.split(", ")):
        assert len(Image.open(path).convert("L").getcolors()) > 20
    assert re.search(r"wandb sync \S*offline-run-", printed)


@pytest.mark.slow
def test_without_a_terminal_progress_is_plain_lines(quickstart):
    printed, _, _ = quickstart
    assert re.search(r"^epoch 5/5  step 95  elbo -\d.*  0:00 left$", printed, re.MULTILINE)
    assert "\x1b" not in printed


def test_the_tracker_holds_the_same_numbers_and_the_pictures(quickstart):
    _, _, run = quickstart
    (logged,) = (run.trackers / "wandb").glob("offline-run-*")
    tool = Path(sys.executable).with_name("wandb")
    answer = subprocess.run([tool, "leet", "inspect", "--json", logged], capture_output=True, check=True)
    records = [json.loads(line) for line in answer.stdout.splitlines()]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    own = [row["val/elbo"] for row in rows(run.metrics) if "val/elbo" in row]
    assert [float(item["val/elbo"]) for item in history if "val/elbo" in item] == pytest.approx(own)
    assert any(item.get("reconstructions._type") for item in history)
    assert any("time/samples_per_second" in item for item in history)
    assert run.read()["run_id"] in logged.name
