"""RecordedRun runs are trained again by their own code, and what differs is found and named."""

import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import forks
import pytest
from recorded_runs import ROOT, alter, configure, copy, git, make_repository, make_run, report, reproduce
from small import SMALL

SECRET = "sk-planted-0123456789"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def run(repository, tmp_path_factory):
    return make_run(repository, tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def tree(top):
    return {path: path.read_bytes() for path in top.rglob("*") if path.is_file()}


def harmless(repository):
    """A patch that leaves every bit as it is."""
    return patch_of(repository, "core/seeds.py", lambda text: f"{text}\n# nothing\n")


def patch_of(repository, name, change):
    path = repository / "src" / "aelab" / name
    before = path.read_text()
    try:
        path.write_text(change(before))
        patch = git(repository, "diff")
        assert patch
        return patch
    finally:
        path.write_text(before)


def test_a_run_is_reproduced_to_the_bit(repository, run, scratch, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PLANTED_API_KEY", SECRET)
    git(repository, "remote", "add", "origin", f"https://user:{SECRET}@example.org/a.git")
    alter(target := copy(run, tmp_path / "run"), command=["touch", str(tmp_path / "executed"), SECRET])
    configure(target, "logger", {"csv": {"_target_": "aelab.loggers.Csv", "_partial_": True}})
    before, recorded = tree(repository), tree(target.path)
    outputs = tmp_path / "outputs"
    assert reproduce(str(target.path), f"repository={repository}", f"to={outputs}") == 0
    found = report(outputs)
    (again,) = (Path(item["again"]) for item in found["runs"])
    assert found["verdict"] == found["runs"][0]["verdict"] == "bit-equal"
    assert again.is_relative_to(outputs)
    assert (again / "metrics.jsonl").read_bytes() == target.metrics.read_bytes()
    assert json.loads((again / "record.json").read_text())["git"]["commit"] == found["runs"][0]["commit"]
    assert tree(repository) == before
    assert tree(target.path) == recorded
    assert not list(scratch.iterdir())
    assert not (tmp_path / "executed").exists()
    assert not list((again / "trackers").iterdir())
    assert not [path for path, content in tree(outputs).items() if SECRET.encode() in content]
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_recorded_changes_need_an_opt_in_and_are_then_applied(repository, run, tmp_path, capfd):
    target = copy(run, tmp_path / "run")
    target.patch.write_bytes(harmless(repository))
    target.seal(target.patch)
    options = [f"repository={repository}", f"to={tmp_path / 'outputs'}"]
    assert reproduce(str(target.path), *options) == 1
    shown = capfd.readouterr().out
    assert "src/aelab/core/seeds.py" in shown
    assert "trust_patch=true" in shown
    assert not list(tmp_path.glob("outputs/*/*/*/record.json"))
    assert reproduce(str(target.path), *options, "trust_patch=true") == 0
    (patch,) = tmp_path.glob("outputs/*/*/*/changes.patch")
    assert patch.read_bytes() == target.patch.read_bytes()


@pytest.mark.slow
def test_other_code_ends_different_and_says_in_what(repository, run, tmp_path, capfd):
    target = copy(run, tmp_path / "run")
    target.patch.write_bytes(
        patch_of(
            repository, "core/seeds.py", lambda text: text.replace("{seed}/{stage}", "{seed}/other/{stage}")
        )
    )
    target.seal(target.patch)
    outputs = tmp_path / "outputs"
    options = [f"repository={repository}", f"to={outputs}", "trust_patch=true"]
    assert reproduce(str(target.path), *options) == 3
    (found,) = report(outputs)["runs"]
    assert found["verdict"] == "different"
    assert {sentence.partition(":")[0] for sentence in found["why"]} >= {
        "best.ckpt",
        "metrics.jsonl",
        "test/elbo",
    }
    assert not any("config.yaml" in note for note in found["notes"])
    assert "different in best.ckpt" in capfd.readouterr().out


@pytest.mark.slow
def test_a_study_is_reproduced_as_one_whatever_its_runs_are_called(repository, run, tmp_path, capfd):
    study = tmp_path / "study"
    name = "\"><script>'../../../x\n\x1b[31m[bold]"
    hostile = configure(copy(run, study / 'a"<b>\n\x1b[31m' / "run"), "name", name)
    configure(copy(run, study / "changed"), "seed", 1)
    alter(copy(run, study / "installed"), git=None)
    (study / "half").mkdir()
    (study / "half" / "config.yaml").write_text("name: half\n")
    copy(run, study / "damaged").record.write_text("{")
    outputs = study / "reproductions"
    assert reproduce(f"runs='{study}'", f"repository={repository}", f"to={outputs}") == 3
    found = {item["run"]: item for item in report(outputs)["runs"]}
    verdicts = {Path(path).name: item["verdict"] for path, item in found.items()}
    assert verdicts == {
        "run": "bit-equal", "installed": "bit-equal", "changed": "different", "half": "cannot be reproduced",
        "damaged": "cannot be reproduced",
    }  # fmt: skip
    assert Path(found[str(hostile.path)]["again"]).is_relative_to(outputs)
    (note,) = found[str(study / "changed")]["notes"]
    assert "config.yaml was changed" in note
    (note,) = found[str(study / "installed")]["notes"]
    assert "no commit is recorded" in note
    assert "is damaged" in found[str(study / "damaged")]["why"][0]
    assert "no run folder" in found[str(study / "half")]["why"][0]
    assert {path.name for path in tmp_path.iterdir()} == {"study"}
    assert "\x1b" not in capfd.readouterr().out
    # The reproductions lie inside the study now, and are no part of it.
    assert reproduce(f"runs='{study}'", f"repository={repository}", "check=true") == 1
    assert capfd.readouterr().out.count("run         ") == 5


@pytest.mark.slow
def test_two_processes_are_reproduced_by_two(repository, tmp_path):
    run = make_run(
        repository, tmp_path / "recorded", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"
    )
    options = [f"repository={repository}", f"to={tmp_path / 'outputs'}"]
    assert reproduce(str(run.path), *options) == 0


@pytest.mark.slow
def test_a_signal_leaves_neither_tree_nor_process(repository, run, tmp_path, script_environment):
    target = configure(copy(run, tmp_path / "run"), "trainer.max_epochs", 100000)
    (tmp_path / "scratch").mkdir()
    options = [f"run={target.path}", f"repository={repository}", f"to={tmp_path / 'outputs'}"]
    environment = {**script_environment, "TMPDIR": str(tmp_path / "scratch")}
    process = forks.start(ROOT / "scripts" / "reproduce.py", *options, env=environment)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("outputs/*/*/*/checkpoints/best.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60).returncode == 143
    assert not list((tmp_path / "scratch").iterdir())
    (record,) = tmp_path.glob("outputs/*/*/*/record.json")
    assert json.loads(record.read_text())["status"] == "killed"
    with pytest.raises(ProcessLookupError):
        os.kill(json.loads(record.read_text())["process"]["pid"], 0)


@pytest.mark.slow
def test_a_run_that_started_from_another_is_reproduced_without_it(repository, run, tmp_path):
    first = copy(run, tmp_path / "first")
    options = [f"start.run={first.path}", "start.parts=[likelihood,decoder]", "start.frozen=[decoder]"]
    base = [o for o in SMALL if not o.startswith("model.decoder")]
    second = make_run(repository, tmp_path / "second", *options, base=base)
    shutil.rmtree(first.path)
    assert reproduce(str(second.path), f"repository={repository}", f"to={tmp_path}/again") == 0
    assert report(tmp_path / "again")["verdict"] == "bit-equal"
