"""Restoration as a part of an evaluation, and as a command."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

import aelab
from aelab.cli.restore import main as restore
from aelab.config.compose import compose
from aelab.core.errors import AelabError
from aelab.evaluation.evaluate import main as evaluate_run
from aelab.jobs.masks import Box

QUICK = ["images=10", "ways.most_probable.steps=3", "ways.most_probable.starts=1", "ways.posterior.chains=1"]
QUICK += [
    "ways.posterior.transitions=2",
    "ways.posterior.leapfrog=1",
    "ways.passes.passes=2",
    "ways.one_pass.draws=2",
]


@pytest.fixture(scope="module")
def run(train_once):
    return train_once("values=grey", "likelihood=gaussian", "model.likelihood.scale=0.3")


def configured(run, to, *overrides):
    return compose([f"run={run.path}", f"to={to}", *overrides], "restore")


def test_a_suite_measures_every_degradation_by_every_way(run):
    options = [f"suite.parts.restoration.{option}" for option in QUICK]
    evaluate_run(compose([f"run={run.path}", "suite=restoration", "device=cpu", *options], "evaluate"))
    found = json.loads(run.evaluations.read_text())["restoration"]
    # Passes need something that is hidden, and windows of the similarity eleven pixels.
    assert all("passes" in name for name in found["left_out"])
    assert {"restored_box.png", "restored_jpeg.png"} <= set(found["figures"])
    with (run.evaluation("restoration") / "restoration.csv").open() as file:
        rows = {(row["degradation"], row["way"]): row for row in csv.DictReader(file)}
    assert {way for degradation, way in rows if degradation == "box"} == {
        *("nothing", "biharmonic", "one_pass", "most_probable", "passes", "posterior")
    }
    assert {way for degradation, way in rows if degradation == "blur"} >= {
        "non_local_means",
        "total_variation",
    }
    expected = found["estimates"]["restoration/rmse_missing_posterior"]["value"]
    assert float(rows["missing", "posterior"]["rmse"]) == pytest.approx(expected)
    assert 0 < float(rows["missing", "posterior"]["coverage_95"]) <= 1


def test_a_command_restores_pictures_as_the_model_does(run, pictures, tmp_path):
    options = ["degradation=box", "restoration=one_pass"]
    restore(configured(run, tmp_path / "to", f"from={pictures}", *options))
    images = [Image.open(pictures / f"={place}.png") for place in range(5)]
    from aelab.jobs.restoration import OnePass

    expected = aelab.load(run.path).restore(images, Box(), OnePass()).mean
    found = np.stack([np.asarray(Image.open(tmp_path / "to" / f"={place}.png")) for place in range(5)])
    assert np.array_equal(found, (expected.clamp(0, 1) * 255).round().to(torch.uint8)[:, 0])
    restore(configured(run, tmp_path / "both", f"from={pictures}", "damage=true", *options))
    with (tmp_path / "both" / "errors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert all(float(row["error_before"]) > 0 for row in rows)


def test_smaller_pictures_are_enlarged(run, pictures, tmp_path):
    for file in pictures.iterdir():
        Image.open(file).resize((4, 4)).save(file)
    options = ["degradation=downsampling", "restoration.steps=3"]
    restore(configured(run, tmp_path / "to", f"from={pictures}", *options))
    assert Image.open(tmp_path / "to" / "=0.png").size == (8, 8)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["degradation=missing"], "give degradation=mask degradation.file=MASK"),
        (["degradation=mask", "degradation.file=/nowhere.png"], "is no picture"),
        (["restoration=passes"], "passes fill in what is hidden"),
        (["degradation.scale=0"], "degradation.scale=0: a number above 0"),
        (["degradation=downsampling", "degradation.factor=3"], "no blocks of 3 pixels"),
        (["from=/nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_restored_is_refused_and_nothing_written(run, pictures, tmp_path, overrides, sentence):
    with pytest.raises(AelabError, match=sentence):
        restore(configured(run, tmp_path / "to", f"from={pictures}", *overrides))
    assert not (tmp_path / "to").exists()


def test_vectors_and_models_without_a_prior_are_restored(train_once, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    vectors = train_once("data=iris", "likelihood=gaussian")
    options = ["degradation=missing", "damage=true", "restoration.steps=3", f"from={tmp_path / 'x.npz'}"]
    restore(configured(vectors, tmp_path / "vectors", *options))
    assert np.load(tmp_path / "vectors" / "vectors.npz")["x"].shape == (6, 4)
    bare = aelab.load(train_once("variant=ae").path)
    found = bare.restore(torch.rand(3, 1, 8, 8), Box())
    assert found.mean.shape == (3, 1, 8, 8)
