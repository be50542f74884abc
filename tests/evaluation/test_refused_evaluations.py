"""What cannot be evaluated is refused in one sentence, and nothing half-written stays behind."""

import shutil
from pathlib import Path

import forks
import pytest
import torch
from omegaconf import OmegaConf
from small import only

from aelab.core.errors import AelabError
from aelab.runs.folder import RunFolder
from aelab.training.checkpoint_io import AtomicCheckpointIO
from aelab.training.checkpoints import resume_points

SCRIPT = Path(__file__).parents[2] / "scripts" / "evaluate.py"


@pytest.fixture(scope="module")
def run(train_once):
    return train_once()


@pytest.fixture(scope="module")
def larger(train_once):
    return train_once("latent=3")


@pytest.fixture
def copy(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "copy" / "run")
    return RunFolder.open(tmp_path / "copy" / "run")


@pytest.fixture
def refused(evaluate):
    """Whether an evaluation is refused by an error of ours in one line, and leaves the folder as it was."""

    def check(folder, sentence, *overrides):
        before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
        with pytest.raises(AelabError, match=sentence) as refusal:
            evaluate(folder, *overrides)
        assert len(str(refusal.value).splitlines()) == 1
        assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before

    return check


def edit(folder, key, value):
    config = OmegaConf.load(folder.config)
    OmegaConf.update(config, key, value)
    OmegaConf.save(config, folder.config)


def checkpoints(folder):
    return [folder.checkpoints / "best.ckpt", *resume_points(folder.checkpoints)]


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_folder_that_is_no_run(refused, tmp_path):
    refused(RunFolder(tmp_path), "no run folder")


def test_a_run_without_a_checkpoint(refused, copy):
    for path in checkpoints(copy):
        path.unlink()
    refused(copy, r"no undamaged checkpoint \(its status is finished\)")


def test_a_run_whose_checkpoints_are_all_damaged(refused, copy):
    for path in checkpoints(copy):
        damage(path)
    refused(copy, "no undamaged checkpoint")


def test_a_damaged_best_checkpoint_is_passed_over_aloud(copy, evaluate, capsys):
    damage(copy.checkpoints / "best.ckpt")
    found = evaluate(copy, *only("reconstruction"))
    assert found["checkpoint"].startswith("resume-")
    assert "best.ckpt is missing or damaged" in capsys.readouterr().err


def test_the_weights_of_another_model(refused, copy, larger):
    shutil.copy(larger.checkpoints / "best.ckpt", copy.checkpoints)
    refused(copy, "belongs to another configuration")


@pytest.mark.parametrize(
    "content", [{}, {"state_dict": [1, 2]}, {"state_dict": {}}, [1], {"state_dict": {1: 2}}]
)
def test_a_file_that_holds_no_weights(refused, copy, content):
    AtomicCheckpointIO().save_checkpoint(content, copy.checkpoints / "best.ckpt")
    refused(copy, "the weights of another model|belongs to another configuration")


@pytest.mark.parametrize("content", ["", "name: x\nseed: 0\n", "[1, 2]", "7", "{", "\x00", "[" * 3000])
def test_a_file_that_is_no_configuration(refused, copy, content):
    copy.config.write_text(content)
    refused(copy, "config.yaml")


def test_a_missing_configuration(refused, copy):
    copy.config.unlink()
    refused(copy, "config.yaml")


@pytest.mark.parametrize("content", ["", "[]", '{"status": "fin'])
def test_a_damaged_record(refused, copy, content):
    copy.record.write_text(content)
    refused(copy, "record.json")


def test_a_damaged_file_of_earlier_evaluations(refused, copy):
    copy.evaluations.write_text("{")
    refused(copy, "evaluation.json")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["suite=quik"], "quick"),
        (["suite.parts.likelihood.sampels=3"], "suite.parts.likelihood.samples"),
        (["+suite.parts.likelihood.sampels=3"], "sampels"),
        (["suite.parts.likelihod.samples=3"], "likelihood"),
        (["suite.parts.likelihood.samples=many"], "a number"),
        (["device=quantum"], "device=quantum is not at hand"),
        (["peers=[/nowhere]"], "no run folder"),
        (["peers=/nowhere"], r"peers=/nowhere: give a list of runs, as peers=\[/nowhere\]"),
        (["threads=-1"], "threads=-1: at least 1"),
        (["threads=1.5"], "threads=1.5: a whole number"),
        (["threads=many"], "threads=many: a whole number"),
        (["suite.parts.likelihood.samples=1e2"], "samples=100.0: a whole number"),
        (["suite.parts.reconstruction.images=2000.5"], "images=2000.5: a whole number"),
        (["suite.parts.stability.repeats=true"], "a whole number|a number"),
    ],
)
def test_an_option_that_does_not_exist(refused, run, overrides, sentence):
    refused(run, sentence, *overrides)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there(refused, run):
    refused(run, "device=cuda is not at hand: choose cpu", "device=cuda")


def test_data_with_other_checksums_than_the_record_names(refused, copy):
    copy.update(data={"name": "digits", "checksums": {"x": "md5:0", "y": "md5:0"}})
    refused(copy, "data at hand are not those")


def test_data_of_another_set(refused, copy):
    edit(copy, "data.source", {"_target_": "aelab.data.sources.dsprites.DSprites", "count": 600})
    edit(copy, "data.shape", [1, 64, 64])
    refused(copy, "data")


def test_a_folder_of_data_for_a_source_that_has_none(refused, run, tmp_path):
    refused(run, "data.root=.*: digits is read from no files", f"data.root={tmp_path}")


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "done"},
        {"status": ["finished"]},
        {"status": None},
        {"process": 3, "status": "running"},
        {"data": 3},
        {"data": {"checksums": 3}},
    ],
)
def test_a_record_of_no_run(refused, copy, changes):
    copy.update(**changes)
    refused(copy, "status|data")


@pytest.mark.parametrize(
    ("key", "value"),
    [("data", 3), ("model", [1]), ("training", None), ("seed", "0"), ("seed", True), ("name", 3)],
)
def test_a_configuration_of_no_run(refused, copy, key, value):
    config = OmegaConf.load(copy.config)
    config[key] = value
    OmegaConf.save(config, copy.config)
    refused(copy, rf"no configuration of a run \({key}")


@pytest.mark.parametrize("earlier", [3, [1], None, "x"])
def test_an_odd_earlier_evaluation_by_the_suite(refused, copy, earlier):
    copy.update_evaluations(quick=earlier)
    refused(copy, "no object for suite=quick")


@pytest.mark.parametrize("blocked", ["evaluation", "evaluation/quick", "evaluation.json"])
def test_what_stands_where_results_go(copy, evaluate, blocked):
    """Refused before anything is measured: a part that is broken would say so."""
    path = copy.path / blocked
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if path.suffix else path.write_text("in the way")
    with pytest.raises(AelabError, match=r"cannot be written|is damaged") as refusal:
        evaluate(copy, "+suite.parts.broken._target_=probing.Broken")
    assert len(str(refusal.value).splitlines()) == 1


def test_a_folder_where_a_figure_goes(refused, copy):
    (copy.evaluation("quick") / "latent_dimensions.csv").mkdir(parents=True)
    refused(copy, r"latent_dimensions\.csv is a folder")


def test_a_user_reads_one_line_and_the_exit_status_is_1(tmp_path, script_environment):
    done = forks.run(SCRIPT, f"run={tmp_path}", env=script_environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path} is no run folder")


def test_weights_of_a_configuration_of_the_same_shapes_are_refused(copy, refused):
    """Another activation leaves all shapes as they are."""
    edit(copy, "network.activation", {"_target_": "torch.nn.Tanh", "_partial_": True})
    refused(copy, "another configuration")
