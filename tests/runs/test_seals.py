"""Damage of a run's files is found by whoever reads them, and an odd record before a training."""

import json
import shutil
from pathlib import Path

import pytest

from aelab.comparison.run_summaries import read_run
from aelab.config.compose import compose
from aelab.core.errors import AelabError, ResumeError, RunError
from aelab.core.signals import Signals
from aelab.core.untrusted import sealed_object
from aelab.reproduction.reproduce import main as reproduce
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.report import report
from aelab.runs.train import resume
from aelab.training.checkpoint_io import AtomicCheckpointIO
from aelab.training.checkpoints import load, resume_points


@pytest.fixture(scope="module")
def run(train_once):
    return train_once("resume_points.every_batches=1", "trainer.log_every_n_steps=1")


@pytest.fixture
def copy(run, tmp_path):
    return RunFolder(Path(shutil.copytree(run.path, tmp_path / "run")))


def flip(path, old, new):
    """Change one digit."""
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


FLIPS = {
    "record": (lambda run: run.record, '"steps": 3', '"steps": 8'),
    "metrics": (lambda run: run.metrics, '{"step": 1', '{"step": 4'),
    "configuration": (lambda run: run.config, "seed: 0", "seed: 1"),
}


@pytest.mark.parametrize("place", FLIPS)
def test_a_flipped_digit_is_not_compared_and_not_reproduced(copy, place, capsys):
    path, old, new = FLIPS[place]
    flip(path(copy), old, new)
    with pytest.raises(RunError, match=r"damaged|was changed since"):
        read_run(copy.path)
    with pytest.raises(SystemExit):
        reproduce(compose([f"run='{copy.path}'", "check=true"], "reproduce"))
    assert "the same bits are expected" not in capsys.readouterr().out


@pytest.mark.parametrize("content", ["name: vae_digits\n", "a: [", "spare: {_target_: os.system}\n"])
def test_no_bits_are_expected_of_a_configuration_that_is_none_of_the_runs(copy, content, capsys):
    copy.config.write_text(content if content != "spare" else copy.config.read_text() + content)
    with pytest.raises(SystemExit):
        reproduce(compose([f"run='{copy.path}'", "check=true"], "reproduce"))
    assert "the same bits are expected" not in capsys.readouterr().out


def test_a_flipped_bit_before_the_resume_point_is_refused(copy):
    copy.update(status=Status.KILLED)
    flip(copy.metrics, '{"step": 1', '{"step": 4')
    with pytest.raises(ResumeError, match="was changed since the checkpoint saw it"):
        resume(Run.open(copy.path), Signals())


def test_a_seal_holds_for_any_order_and_for_a_user_who_ends_a_lost_run(copy):
    copy.update(status=Status.RUNNING)
    record = json.loads(copy.record.read_text())
    copy.record.write_text(json.dumps(dict(reversed(record.items()))))
    assert copy.read()["status"] == "running"
    copy.record.write_text(json.dumps(record | {"status": "killed"}))
    assert copy.status is Status.KILLED
    copy.record.write_text(json.dumps(record | {"status": "finished"}))
    with pytest.raises(RunError, match="seal"):
        copy.read()


def test_findings_are_sealed_too(copy):
    copy.update_evaluations(quick={"estimates": {"mse": {"value": 0.25}}})
    assert copy.estimates("quick") == {"mse": 0.25}
    assert sealed_object(copy.evaluations).keys() == {"quick"}
    flip(copy.evaluations, "0.25", "0.35")
    with pytest.raises(RunError, match="seal"):
        copy.estimates("quick")


ODD = {
    "threads": [None, "2", 0, 1.5, True, 10**9],
    "run_id": [None, 3, "", "../x", "a' or '1"],
    "seconds": ["1.5", [1], -1, True],
    "resumes": ["1", None, -1],
    "metrics": [[1], "good", {"test/elbo": "good"}],
    "quantities": [[1], {"test/elbo": 3}],
    "command": ["rm -rf", [1]],
    "processes": ["2"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in ODD.items() for value in values])
def test_an_odd_record_is_refused_before_anything_is_trained(copy, key, value):
    record = copy.read() | {"status": "killed", key: value}
    copy.record.write_text(json.dumps(record))
    with pytest.raises(AelabError, match=f"no usable {key}"):
        resume(Run.open(copy.path), Signals())


@pytest.mark.parametrize("key", ["threads", "run_id", "fingerprint"])
@pytest.mark.parametrize("status", ["killed", "finished"])
def test_a_record_without_what_a_resume_needs(copy, key, status):
    record = copy.read() | {"status": status}
    record.pop(key)
    copy.record.write_text(json.dumps(record))
    with pytest.raises(RunError, match=f"no usable {key}"):
        resume(Run.open(copy.path), Signals())


def test_a_metric_that_was_not_finite_is_reported_after_all_the_training(copy, capsys):
    copy.update(metrics={"test/elbo": float("nan")})
    report(copy, [])
    assert "nan" in capsys.readouterr().out
    record = copy.read()
    for key in ("metrics", "quantities"):
        record.pop(key)
    copy.record.write_text(json.dumps(record))
    report(copy, [])


@pytest.mark.parametrize("part", ["loops", "optimizer_states", "state_dict", "callbacks", "DataModule"])
def test_a_sealed_checkpoint_without_a_part_is_refused_in_a_sentence(copy, part):
    copy.update(status=Status.KILLED)
    for path in resume_points(copy.checkpoints):
        checkpoint = load(path)
        if part == "callbacks":
            checkpoint[part] = {"ResumePoints": {"fingerprint": copy.read()["fingerprint"]}}
        else:
            checkpoint.pop(part)
        AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    with pytest.raises(ResumeError, match="does not hold what a training continues from"):
        resume(Run.open(copy.path), Signals())
