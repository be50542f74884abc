"""A run's folder: never shared, never half-written, never taken for alive when its process is gone."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelab.core.errors import ConfigurationError, ResumeError, RunError
from aelab.runs.folder import RunFolder, Status

CREATE = """
import sys
from pathlib import Path
from aelab.runs.folder import RunFolder
sys.stdin.read()
for _ in range(8):
    print(RunFolder.create(Path(sys.argv[1]), "race").path)
"""

HOLD = """
import sys
from pathlib import Path
from aelab.runs.folder import RunFolder
print(RunFolder.create(Path(sys.argv[1]), "held").path, flush=True)
sys.stdin.read()
"""

WRITE = """
import sys
from pathlib import Path
from aelab.runs.folder import RunFolder
run = RunFolder.open(Path(sys.argv[1]))
print("ready", flush=True)
count = 0
while True:
    count += 1
    run.update(count=count, copy=count, ballast="x" * 100_000)
"""


def python(script, *arguments):
    call = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_folder_is_named_for_the_run_and_the_time(tmp_path):
    run = RunFolder.create(tmp_path, "vae_mnist")
    assert run.path.parent == tmp_path / "vae_mnist"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", run.path.name)
    assert {path.name for path in run.path.iterdir()} == {
        "record.json",
        "checkpoints",
        "pictures",
        "trackers",
    }
    assert run.status is Status.RUNNING


def test_sixteen_threads_get_sixteen_folders(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        runs = list(pool.map(lambda _: RunFolder.create(tmp_path, "race"), range(16)))
    assert len({run.path for run in runs}) == 16
    assert all(run.status is Status.RUNNING for run in runs)


def test_processes_that_start_together_share_no_folder(tmp_path):
    writers = [python(CREATE, tmp_path) for _ in range(4)]
    time.sleep(0.5)
    for writer in writers:
        writer.stdin.close()
    paths = [line for writer in writers for line in writer.stdout.read().split()]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(paths) == len(set(paths)) == 32


@given(st.text())
def test_a_name_is_one_harmless_folder_or_refused(tmp_path_factory, name):
    root = tmp_path_factory.mktemp("outputs")
    if not any(character.isalnum() for character in name):
        with pytest.raises(ConfigurationError):
            RunFolder.create(root, name)
        return
    run = RunFolder.create(root, name)
    assert run.path.parent.parent == root
    assert re.fullmatch(r"[\w+=,][\w.+=,-]*", run.path.parent.name)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("a\nb\x00c\x1b[0m", "a-b-c-0m"),
        ("latent=16,lr=1e-3", "latent=16,lr=1e-3"),
        ("-rf", "rf"),
        ("é" * 300, "é" * 100),
    ],
)
def test_a_name_is_sanitised(tmp_path, name, folder):
    assert RunFolder.create(tmp_path, name).path.parent == tmp_path / folder


@pytest.mark.parametrize("name", ["", "..", "/", "\n", "___"])
def test_a_name_without_a_letter_is_refused(tmp_path, name):
    with pytest.raises(ConfigurationError, match="give it a letter or digit"):
        RunFolder.create(tmp_path, name)


def test_a_root_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigurationError, match=r"cannot be made in .*file/run .*choose a writable folder\.$"
    ):
        RunFolder.create(tmp_path / "file", "run")


def test_a_folder_that_no_run_made_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no run folder .*record\.json"):
        RunFolder.open(tmp_path)


def test_a_folder_of_runs_and_a_pattern_are_answered_with_one_of_them(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    for place in (tmp_path, tmp_path / "run", tmp_path / "ru*" / "*"):
        with pytest.raises(RunError, match=f"single one, as {run.path}"):
            RunFolder.open(place)


def test_a_folder_may_lie_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run = RunFolder.create(Path("~/runs"), "run")
    assert run.path.is_relative_to(tmp_path / "runs")
    assert RunFolder.open(Path("~/runs/run") / run.path.name) == run
    assert RunFolder.named(Path("~/runs"), "run") == [run]
    with pytest.raises(RunError, match="~nobody/runs is no run folder"):
        RunFolder.open(Path("~nobody/runs"))


def test_open_finds_what_create_made(tmp_path, monkeypatch):
    run = RunFolder.create(tmp_path, "run")
    monkeypatch.chdir(run.path.parent)
    assert RunFolder.open(Path(run.path.name)) == run


def test_update_merges(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    run.update(seed=1, metrics={"val/elbo": -70.5})
    run.update(seed=2, outputs=tmp_path)
    assert run.read()["seed"] == 2
    assert run.read()["metrics"] == {"val/elbo": -70.5}
    assert run.read()["outputs"] == str(tmp_path)
    assert run.read()["status"] == "running"


def test_numbers_that_json_lacks_become_null(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    run.update(metrics={"a": math.nan, "b": [math.inf, 1.0], "c": (-math.inf,)})
    record = json.loads(run.record.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert record["metrics"] == {"a": None, "b": [None, 1.0], "c": [None]}


def test_a_value_that_cannot_be_written_leaves_the_record_as_it_was(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    before = run.read()
    with pytest.raises(TypeError):
        run.update(seed=1, model=object())
    assert run.read() == before


def test_a_writer_killed_at_any_point_leaves_a_whole_record(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    counts = []
    for delay in range(6):
        writer = python(WRITE, run.path)
        writer.stdout.readline()
        time.sleep(0.03 + delay * 0.0137)
        writer.kill()
        writer.wait()
        record = run.read()
        assert record["count"] == record["copy"]
        assert len(record["ballast"]) == 100_000
        counts.append(record["count"])
    assert min(counts) >= 1


@pytest.mark.parametrize("damage", ["", '{"status": "runn', "[]", "\xff"])
def test_a_damaged_record_is_named(tmp_path, damage):
    run = RunFolder.create(tmp_path, "run")
    run.record.write_text(damage, encoding="latin-1")
    with pytest.raises(RunError, match=r"record\.json"):
        run.read()


def test_a_killed_process_is_found_out(tmp_path):
    holder = python(HOLD, tmp_path)
    run = RunFolder.open(Path(holder.stdout.readline().strip()))
    assert run.status is Status.RUNNING
    with pytest.raises(ResumeError, match="still being run"):
        run.resume()
    holder.send_signal(signal.SIGKILL)
    # Until its parent asks after it, a killed process remains as a zombie.
    while "\nState:\tZ" not in Path(f"/proc/{holder.pid}/status").read_text():
        time.sleep(0.01)
    assert run.status is Status.KILLED
    holder.wait()
    assert run.status is Status.KILLED
    run.resume()
    assert run.status is Status.RUNNING
    assert run.read()["process"]["pid"] == os.getpid()


def test_a_number_given_to_a_later_process_is_not_the_run(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    process = run.read()["process"]
    run.update(process={**process, "started": "1"})
    assert run.status is Status.KILLED


def test_a_process_elsewhere_counts_as_alive(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    run.update(process={"host": "elsewhere.example", "pid": 1, "started": "1"})
    assert run.status is Status.RUNNING


@pytest.mark.parametrize("status", [Status.FINISHED, Status.FAILED, Status.KILLED])
def test_an_end_that_was_recorded_stays(tmp_path, status):
    run = RunFolder.create(tmp_path, "run")
    run.update(status=status)
    assert run.status is status
