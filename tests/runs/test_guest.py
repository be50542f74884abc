"""Output is a guest: a training goes on, or ends in a sentence, whatever becomes of those who listen."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from small import SMALL, few_quick

from aelab.core.errors import lacks_disk
from aelab.core.guest import Guest
from aelab.runs import folder as folders
from aelab.runs.folder import RunFolder, Status
from aelab.training.checkpoint_io import AtomicCheckpointIO

ROOT = Path(__file__).parents[2]


def shell(line, environment, tmp_path, **more):
    """What a shell makes of a line in which TRAIN is a small training."""
    train = shlex.join([sys.executable, str(ROOT / "scripts/train.py"), *SMALL, f'outputs="{tmp_path}/ö"'])
    call = ["bash", "-o", "pipefail", "-c", line.replace("TRAIN", train)]
    return subprocess.run(call, env={**environment, **more}, capture_output=True, cwd=tmp_path, timeout=240)


def record(tmp_path):
    (found,) = tmp_path.rglob("record.json")
    return json.loads(found.read_text())


LINES = {
    "head": "TRAIN | head -1",
    "closed": "TRAIN >&-",
    "all closed": "TRAIN <&- >&- 2>&-",
    "full": "TRAIN > /dev/full",
    "full too": "TRAIN > /dev/full 2>&1",
}


@pytest.mark.parametrize("line", few_quick(LINES, every=len(LINES)))
def test_a_training_goes_on_without_those_who_listened(script_environment, tmp_path, line):
    done = shell(LINES[line], script_environment, tmp_path)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert record(tmp_path)["status"] == "finished"
    (metrics,) = tmp_path.rglob("metrics.jsonl")
    assert all(json.loads(row) for row in metrics.read_text().splitlines())


@pytest.mark.slow
def test_letters_that_a_terminal_lacks_are_escaped(script_environment, tmp_path):
    few = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = shell("TRAIN", script_environment, tmp_path, **few)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert re.search(rb"\\xf6|\\udcc3\\udcb6", done.stdout)  # by how the name was read


def test_without_a_folder_for_temporary_files_the_record_lacks_the_changes(train, monkeypatch, capsys):
    from aelab.runs import train as training

    def nowhere(*_, **__):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in [...]")

    training.changes.cache_clear()
    monkeypatch.setattr("tempfile.TemporaryDirectory", nowhere)
    assert train().status is Status.FINISHED
    training.changes.cache_clear()
    assert "the record will lack the uncommitted changes" in capsys.readouterr().err


def test_a_full_disk_leaves_a_record_that_says_so(train, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_, **__):
        monkeypatch.setattr(folders, "write_sealed", refuse)
        raise full

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", refuse)
    with pytest.raises(OSError, match="No space left"):
        train()
    (found,) = tmp_path.rglob("record.json")
    run = RunFolder(found.parent)
    assert json.loads(found.read_text())["status"] == "failed"
    assert run.status is Status.FAILED  # and its seal is whole
    assert lacks_disk(full).startswith("a file cannot be written (No space left on device): make room")
    assert lacks_disk(OSError(errno.ENOENT, "no")) is None


def test_what_is_kept_back_does_not_fail_at_the_end(tmp_path):
    read, write = os.pipe()
    os.close(read)
    stream = Guest(os.fdopen(write, "w"))
    assert stream.write("x" * 100_000) == 100_000
    stream.flush()
    stream.write("more")
    stream.close()
    assert stream.closed
