"""An evaluation from beginning to end: what it writes, whose numbers these are, and how it fails."""

import csv
import json
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import forks
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from sklearn.datasets import load_digits
from small import PARTS, TINY, only, rewrite

from aelab.core.errors import AelabError
from aelab.evaluation.stability import Stability
from aelab.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "evaluate.py"
BROKEN = "+suite.parts.broken._target_=probing.Broken"
# What the test at the end of a training measures, by the names of an evaluation.
MEASURED = {
    **{f"likelihood/{name}": name for name in ("elbo", "distortion", "kl", "bits_per_dim", "active_units")},
    **{f"reconstruction/{name}": name for name in ("mse", "squared_error", "psnr")},
}
BOUND = only("likelihood", "reconstruction")


@pytest.fixture(scope="module")
def run(train_once):
    return train_once("trainer.limit_train_batches=1.0", "trainer.max_epochs=4")


@pytest.fixture(scope="module")
def found(run, evaluate):
    return evaluate(run)


@pytest.fixture
def copy(run, tmp_path):
    """The shared run without its evaluations, to be damaged; `edit` changes its configuration."""
    path = tmp_path / "copies" / "run"
    shutil.copytree(run.path, path, ignore=shutil.ignore_patterns("evaluation*"))
    return RunFolder.open(path)


def edit(folder, **changes):
    config = OmegaConf.load(folder.config)
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    return rewrite(folder, config)


def values(found):
    return {name: estimate["value"] for name, estimate in found["estimates"].items()}


def evaluated(environment, cache, *arguments):
    return forks.run(SCRIPT, *arguments, env={**environment, "AELAB_DATA": str(cache)})


def test_a_user_evaluates_a_run_and_finds_all_that_is_named(copy, script_environment, evaluation_cache):
    done = evaluated(script_environment, evaluation_cache, f"run={copy.path}", "table=full", *TINY)
    assert (done.returncode, done.stderr) == (0, "")
    found = copy.read_evaluations()["quick"]
    assert set(found["seconds"]) == set(PARTS)
    folder = copy.evaluation("quick")
    assert {path.name for path in folder.iterdir()} == {*found["figures"], *found["tables"]}
    for name, estimate in found["estimates"].items():
        assert re.search(rf"^ *{name}( [↑↓])? ", done.stdout, re.MULTILINE)
        assert f"{estimate['value']:.5g}" in done.stdout
    for why in {**found["undefined"], **found["left_out"], **found["alarms"]}.values():
        assert why in done.stdout
    assert f"pictures  {folder}: " in done.stdout
    for name in found["figures"]:
        with Image.open(folder / name) as picture:
            picture.load()
            assert min(picture.size) > 20
    for name in found["tables"]:
        with (folder / name).open() as file:
            header, *rows = csv.reader(file)
        assert rows
        assert {len(row) for row in rows} == {len(header)}


def test_every_estimate_has_a_value_a_unit_a_count_and_an_uncertainty(found):
    assert len(found["estimates"]) > 50
    for name, estimate in found["estimates"].items():
        assert np.isfinite(estimate["value"]), name
        assert estimate["unit"], name
        assert estimate["higher_is_better"] in (True, False, None), name
        assert estimate["higher_is_better"] is None or "_floor/" not in name
        assert estimate["count"] > 1, name
        assert ("standard_error" in estimate) != ("confidence_interval" in estimate), name
        assert np.all(np.isfinite(estimate.get("standard_error", estimate.get("confidence_interval")))), name


def test_an_evaluation_says_whose_numbers_these_are(run, found):
    record = run.read()
    assert found["run_id"] == record["run_id"]
    assert found["data"] == record["data"]
    assert (found["status"], found["seed"], found["checkpoint"]) == ("finished", 0, "best.ckpt")
    assert found["parts"]["likelihood"]["samples"] == 20
    assert found["feature_space"]["generation"]["name"].startswith("classifier/digits@")


def test_notes_name_as_many_images_as_there_are(run, evaluate):
    found = evaluate(
        run, *only("likelihood", "stability"), "suite.parts.likelihood.aggregate=5000",
        "suite.parts.stability.images=2000", suite="full",
    )  # fmt: skip
    for name in ("likelihood/mutual_information", "stability/elbo_spread"):
        assert "297 images" in found["estimates"][name]["note"]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["variant=cvae", "values=dynamic", "corruption=masking"],
        ["variant=ae"],
        ["variant=hvae", "callback=ema"],
    ],
    ids=" ".join,
)
def test_the_numbers_are_those_of_the_test_at_the_end_of_the_training(train, evaluate, overrides):
    run = train(*overrides)
    metrics = run.read()["metrics"]
    found = evaluate(run, *BOUND)
    ours = {name: value for name, value in values(found).items() if name in MEASURED}
    theirs = {name: metrics[f"test/{k}"] for name, k in MEASURED.items() if f"test/{k}" in metrics}
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert len(ours) == (5 if overrides == ["variant=ae"] else 8)


def test_an_evaluation_repeats_itself_to_the_last_pixel(run, found, evaluate):
    files = contents(run)
    again = evaluate(run)
    clock = {"seconds": None, "time": None}
    assert {**again, **clock} == {**found, **clock}
    assert datetime.fromisoformat(again["time"]) >= datetime.fromisoformat(found["time"])
    assert contents(run) == files


def contents(run):
    return {path.name: path.read_bytes() for path in run.evaluation("quick").iterdir()}


def test_numbers_depend_neither_on_batches_nor_on_memory(copy, found, evaluate):
    edit(copy, data__eval_batch_size=7)
    others = evaluate(copy, "suite.parts.likelihood.memory=1000")
    assert values(others) == pytest.approx(values(found), rel=1e-5, abs=1e-12)


def test_what_a_plain_autoencoder_lacks_is_undefined_and_no_number(train, evaluate):
    found = evaluate(train("variant=ae"), *only("likelihood", "reconstruction", "generation", "stability"))
    lacking = {
        f"likelihood/{name}"
        for name in (
            "elbo", "kl", "bits_per_dim", "nll", "nll_bits_per_dim", "nll_effective_samples",
            "mutual_information", "total_correlation", "dimensionwise_kl", "marginal_kl", "kl_per_dimension",
        )
    } | {"stability/elbo_spread"}  # fmt: skip
    assert lacking <= found["undefined"].keys()
    assert not found["undefined"].keys() & found["estimates"].keys()
    assert "no prior" in found["undefined"]["generation"]
    assert {"likelihood/distortion", "reconstruction/mse", "stability/mse_spread"} <= values(found).keys()
    assert not any(why.startswith("failed") for why in found["left_out"].values())


def test_suites_live_side_by_side_and_each_replaces_itself_alone(copy, evaluate):
    quick = evaluate(copy, *BOUND)
    full = evaluate(copy, *BOUND, "suite.parts.likelihood.samples=30", suite="full")
    assert copy.read_evaluations() == {"quick": quick, "full": full}
    assert values(full)["likelihood/nll"] != values(quick)["likelihood/nll"]
    assert {path.name for path in (copy.path / "evaluation").iterdir()} == {"quick", "full"}
    fewer = evaluate(copy, *only("reconstruction"))
    assert not any(name.startswith("likelihood") for name in fewer["estimates"])
    assert {path.name for path in copy.evaluation("quick").iterdir()} == {*fewer["figures"], *fewer["tables"]}
    assert {path.name for path in copy.evaluation("full").iterdir()} > {"kl_per_dimension.png"}
    assert copy.read_evaluations()["full"] == full


def test_a_part_that_fails_leaves_the_others(copy, evaluate, monkeypatch, capsys):
    def broken(*_):
        raise ZeroDivisionError("no spread today")

    monkeypatch.setattr(Stability, "_disturbed", broken)
    with pytest.raises(AelabError, match=r"^stability failed"):
        evaluate(copy)
    found = copy.read_evaluations()["quick"]
    assert found["left_out"]["stability"] == "failed: ZeroDivisionError: no spread today"
    assert {"likelihood/elbo", "reconstruction/mse", "representation/linear_probe"} <= values(found).keys()
    printed = capsys.readouterr()
    assert "failed: ZeroDivisionError" in printed.out
    assert "Traceback" in printed.err


@pytest.mark.parametrize("option", ["features", "inception"])
def test_a_file_that_an_option_names_in_vain_is_a_failure(copy, evaluate, capsys, option, tmp_path):
    with pytest.raises(AelabError, match=r"^generation failed"):
        evaluate(
            copy, *only("reconstruction", "generation"), f"suite.parts.generation.{option}={tmp_path}/none.pt"
        )
    found = copy.read_evaluations()["quick"]
    assert found["left_out"]["generation"].startswith("failed: ")
    assert "none.pt" in found["left_out"]["generation"]
    assert "reconstruction/mse" in values(found)
    assert "Traceback" not in capsys.readouterr().err


def test_an_evaluation_that_is_broken_off_leaves_the_one_before(copy, evaluate, monkeypatch):
    evaluate(copy, *BOUND)
    before = {path: path.read_bytes() for path in copy.path.rglob("*") if path.is_file()}

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Stability, "_disturbed", broken)
    with pytest.raises(KeyboardInterrupt):
        evaluate(copy, *only("likelihood", "stability"), "suite.parts.likelihood.aggregate=50")
    assert {path: path.read_bytes() for path in copy.path.rglob("*") if path.is_file()} == before


def test_images_without_labels_are_measured_but_for_what_needs_labels(train, evaluate, tmp_path):
    images = np.rint(load_digits().images * 15.9375).astype(np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images[:1500], x_test=images[1500:])
    found = evaluate(train("data=npz", f"data.root={tmp_path}/images.npz", "data.shape=[1,8,8]"))
    assert found["left_out"]["representation"] == "npz has no labels (data.classes is null)"
    assert "interpretability/classes" in found["left_out"]
    assert not any(name.startswith("representation") for name in found["estimates"])
    assert "codes_principal.png" in found["figures"]
    assert found["feature_space"]["generation"]["task"] == "rotations"
    assert {"likelihood/nll", "generation/frechet", "stability/elbo_spread"} <= values(found).keys()


def test_labels_that_a_run_does_not_use_are_not_scored(train, evaluate):
    found = evaluate(train("data.classes=null"), *only("representation", "interpretability"))
    assert found["left_out"]["representation"] == "digits has no labels (data.classes is null)"
    assert found["estimates"] == {}


def test_trackers_hear_of_an_evaluation_in_the_same_run(train, evaluate):
    run = train("logger=wandb", "logger.wandb.mode=offline")
    found = evaluate(run, *only("likelihood", "reconstruction", "stability"))
    records = []
    for path in sorted((run.trackers / "wandb").glob("offline-run-*")):
        tool = Path(sys.executable).with_name("wandb")
        read = subprocess.run([tool, "leet", "inspect", "--json", path], capture_output=True, check=True)
        records += [json.loads(line) for line in read.stdout.splitlines()]
    assert {r["run"]["run_id"] for r in records if r["type"] == "run"} == {run.read()["run_id"]}
    logged = {k: v for r in records if r["type"] == "history" for k, v in r["history"]["item"].items()}
    told = {f"evaluation/quick/{name}": value for name, value in values(found).items()}
    assert {name: logged.get(name) for name in told} == pytest.approx(told)
    for name in found["tables"]:
        shown = logged[f"evaluation/quick/tables/{Path(name).stem}.path"]
        (file,) = (run.trackers / "wandb").glob(f"offline-run-*/files/{shown}")
        with (run.evaluation("quick") / name).open() as table:
            head, *rows = csv.reader(table)
        content = json.loads(file.read_text())
        assert content["columns"] == head
        assert [[float(cell) for cell in row] for row in rows] == content["data"]
    for name in found["figures"]:
        (picture,) = logged[f"evaluation/quick/figures/{Path(name).stem}.filenames"]
        assert list((run.trackers / "wandb").glob(f"offline-run-*/files/{picture}"))


@pytest.mark.slow
def test_a_sweep_evaluates_every_run_also_after_a_failed_part_and_exits_with_status_1(
    copy, script_environment, evaluation_cache
):
    other = RunFolder.open(shutil.copytree(copy.path, copy.path.with_name("other")))
    parts = [*only("reconstruction"), BROKEN]
    runs, notes = f"run={copy.path},{other.path}", f"hydra.sweep.dir={copy.path.parent}"
    done = evaluated(script_environment, evaluation_cache, "-m", runs, notes, *TINY, *parts)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: broken failed")
    for each in (copy, other):
        assert "reconstruction/mse" in values(each.read_evaluations()["quick"])


def test_the_runs_of_a_folder_are_evaluated_one_after_the_other(
    copy, script_environment, evaluation_cache, tmp_path
):
    study = copy.path.parent
    shutil.copytree(copy.path, study / "other")
    broken = shutil.copytree(copy.path, study / "without weights")
    shutil.rmtree(broken / "checkpoints")
    done = evaluated(script_environment, evaluation_cache, f"runs={study}", *TINY, *only("reconstruction"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: 1 of 3 runs were not evaluated whole")
    assert f"error: {broken}: " in done.stderr
    for path in (copy.path, study / "other"):
        assert "reconstruction/mse" in RunFolder.open(path).read_evaluations()["quick"]["estimates"]
