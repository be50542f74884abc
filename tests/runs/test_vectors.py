"""Vectors of real numbers, from the command line to a trained model in the data's own units."""

import csv
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from sklearn.datasets import load_wine
from small import TINY
from torch.testing import assert_close

import aelab
from aelab.cli.encode import main as encode
from aelab.cli.export import main as export
from aelab.cli.reconstruct import main as reconstruct
from aelab.cli.sample import main as sample
from aelab.config.compose import compose
from aelab.core.errors import AelabError, ConfigurationError, DataError, RunError
from aelab.data.values import Plain
from aelab.runs.build import build

WINE = ["data=wine"]


@pytest.fixture(scope="module")
def run(train_once):
    return train_once(*WINE)


@pytest.fixture(scope="module")
def rows():
    return load_wine().data[::20]


@pytest.fixture
def file(tmp_path, rows):
    np.savez(tmp_path / "mine.npz", x=rows)
    return tmp_path / "mine.npz"


@pytest.fixture(scope="module")
def uniform(tmp_path_factory):
    """A file of vectors in [0, 1] with a column of ten thousands beside it."""
    path, draw = tmp_path_factory.mktemp("data") / "vectors.npz", np.random.default_rng(0)
    np.savez(path, x_train=draw.random((200, 5)), x_test=draw.random((40, 5)))
    return path


def built(*overrides):
    return build(compose([*overrides, "logger=[]"]))


def configured(name, run, to, *overrides):
    return compose([f"run={run.path}", f"to={to}", *overrides], name)


def test_a_table_trains_with_a_gaussian_and_its_own_errors(run):
    settings, record = OmegaConf.load(run.config), run.read()
    assert settings.model.likelihood._target_ == "aelab.models.likelihoods.Gaussian"
    assert settings.model.likelihood.bounds is None
    assert set(record["metrics"]) == {
        f"test/{name}"
        for name in ("elbo", "distortion", "kl", "code_nll", "mse", "squared_error", "rmse", "active_units")
    }
    assert record["quantities"]["test/elbo"]["unit"] == "nats per vector"
    assert record["quantities"]["test/squared_error"]["unit"] == "squared error per vector"
    assert {path.name for path in run.pictures.iterdir()} >= {"reconstructions.png", "samples.png"}
    journal = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert any("val/rmse" in line for line in journal)
    assert not any("val/psnr" in line or "val/bits_per_dim" in line for line in journal)


def test_the_mean_of_vectors_is_not_squeezed_into_the_unit_interval():
    parts = built(*WINE, "likelihood=student_t")
    params = torch.full((1, 2, 13), 40.0)
    assert torch.equal(parts.training.model.likelihood(params).mean, params)
    values = parts.data.val_examples(30).x
    assert values.min() < -1
    assert values.max() > 1


def test_a_loaded_model_needs_no_data_and_speaks_in_their_units(run, rows, tmp_path):
    train = built(*WINE).data.observations("train").x
    elsewhere = tmp_path / "run"
    shutil.copytree(run.path, elsewhere)
    script = (
        "import sys, sklearn.datasets, numpy as np, aelab\n"
        "def gone(*_, **__): raise AssertionError('the data are read')\n"
        "sklearn.datasets.load_wine = gone\n"
        f"model = aelab.load({str(elsewhere)!r})\n"
        f"np.save({str(tmp_path / 'back.npy')!r}, model.reconstruct(np.load({str(tmp_path / 'x.npy')!r})))\n"
        "print(*{name.split('.')[0] for name in sys.modules} & {'pytorch_lightning', 'hydra'})"
    )
    np.save(tmp_path / "x.npy", rows)
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""
    model = aelab.load(run.path)
    back = model.reconstruct(rows)
    assert_close(torch.from_numpy(np.load(tmp_path / "back.npy")), back)
    assert "vectors of 13" in repr(model)
    # An untrained model gives back about the mean of the training split, in each column's own unit.
    assert (((back - train.mean(0)) / train.std(0)).abs() < 3).all()
    x, mean, deviation = torch.from_numpy(rows), train.double().mean(0), train.double().std(0, correction=0)
    assert_close(model.seen(rows), ((x - mean) / deviation).float(), atol=1e-4, rtol=1e-4)
    samples = model.sample(5, seed=1)
    assert (((samples - train.mean(0)) / train.std(0)).abs() < 6).all()
    path = model.interpolate(rows[:2], rows[2:4], steps=3)
    assert_close(path[:, 0], back[:2], rtol=1e-4, atol=1e-2)


def test_log_probabilities_are_densities_of_the_data_as_they_are(run, rows):
    model = aelab.load(run.path)
    found = model.log_prob(rows, samples=64, seed=0)
    seen = replace(model, values=Plain())
    inner = seen.log_prob(model.seen(rows), samples=64, seed=0)
    deviations = built(*WINE).data.observations("train").x.double().std(0, correction=0)
    assert_close(inner - found, torch.full_like(found, deviations.log().sum().item()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("state", [None, {}, {"mean": [0.0]}, {"mean": "x", "deviation": "y"}, []])
def test_a_run_that_lost_what_its_values_were_made_with(train, state):
    lost = train(*WINE)
    lost.update(values=state)
    with pytest.raises(RunError, match="does not say what the model takes"):
        aelab.load(lost.path)


def test_vectors_that_the_model_cannot_take(run, rows):
    model = aelab.load(run.path)
    for given in (rows[:, :5], "wine", np.full((1, 13), np.nan)):
        with pytest.raises(DataError):
            model.encode(given)


def test_the_commands_write_vectors_in_the_units_of_the_data(run, file, rows, tmp_path):
    model = aelab.load(run.path)
    sample(configured("sample", run, tmp_path / "samples", "count=3", "seed=4"))
    with np.load(tmp_path / "samples" / "vectors.npz") as made:
        assert_close(torch.from_numpy(made["x"]), model.sample(3, seed=4))
        assert made["columns"].tolist()[:2] == ["alcohol", "malic_acid"]
    reconstruct(configured("reconstruct", run, tmp_path / "back", f"from={file}"))
    assert {path.name for path in (tmp_path / "back").iterdir()} == {"vectors.npz", "errors.csv", "pairs.png"}
    with np.load(tmp_path / "back" / "vectors.npz") as made:
        back = torch.from_numpy(made["x"])
    assert_close(back, model.reconstruct(rows))
    table = csv.DictReader((tmp_path / "back" / "errors.csv").open())
    errors = [float(row["squared_error"]) for row in table]
    expected = (model.seen(back) - model.seen(rows)).square().sum(1)
    assert errors == pytest.approx(expected.tolist(), rel=1e-4)
    encode(configured("encode", run, tmp_path / "codes.npz", f"from={file}"))
    with np.load(tmp_path / "codes.npz") as codes:
        assert_close(torch.from_numpy(codes["codes"]), model.encode(rows))
    encode(configured("encode", run, tmp_path / "test.npz"))
    with np.load(tmp_path / "test.npz") as codes:
        test = built(*WINE).data.observations("test")
        assert_close(torch.from_numpy(codes["codes"]), model.encode(test.x), rtol=1e-4, atol=1e-5)
        assert codes["labels"].tolist() == test.y.tolist()


def test_what_a_command_wrote_can_be_replaced_and_read_again(run, file, tmp_path):
    for _ in range(2):
        reconstruct(configured("reconstruct", run, tmp_path / "back", f"from={file}", "overwrite=true"))
    again = tmp_path / "back" / "vectors.npz"
    encode(configured("encode", run, tmp_path / "codes.npz", f"from={again}"))


def test_exports_are_of_the_values_that_the_model_sees(run, tmp_path):
    export(configured("export", run, tmp_path / "graphs", "format=torch_export"))
    encoder = torch.export.load(tmp_path / "graphs" / "encoder.pt2").module()
    model = aelab.load(run.path)
    x = load_wine().data[:4]
    assert_close(encoder(model.seen(x)), model.encode(x))


def test_a_suite_says_what_has_no_meaning_for_vectors(run, evaluate):
    findings = evaluate(run, *TINY)
    estimates = findings["estimates"]
    assert estimates["reconstruction/rmse"]["unit"] == "error per value"
    assert estimates["likelihood/elbo"]["unit"] == "nats per vector"
    assert estimates["likelihood/elbo"]["value"] == pytest.approx(run.read()["metrics"]["test/elbo"])
    assert "real numbers" in findings["undefined"]["likelihood/bits_per_dim"]
    assert "real numbers" in findings["undefined"]["likelihood/nll_bits_per_dim"]
    assert "images" in findings["left_out"]["reconstruction/ssim"]
    assert not any(why.startswith("failed") for why in findings["left_out"].values())
    assert estimates["generation/frechet"]["note"].startswith("in values/wine")
    assert "generation/classifier_score" not in estimates


@pytest.mark.parametrize(
    ("override", "why", "cure"),
    [
        ("likelihood=bernoulli", "hold any real numbers", "likelihood=gaussian"),
        ("likelihood=categorical", "hold any real numbers", "likelihood=gaussian"),
        ("likelihood=discretized_logistic_mixture", "for images", "likelihood=gaussian"),
        ("network=conv", "convolutional network", "network=mlp"),
        ("values=dynamic", "not for vectors", "values=standardised"),
        ("corruption=salt_and_pepper", "have none", "corruption=masking"),
        ("data.bounds=[0,1]", "values are -", "data.bounds=null"),
    ],
)
def test_what_vectors_cannot_have_is_refused_with_what_they_can(override, why, cure):
    with pytest.raises(AelabError, match=why) as refusal:
        built(*WINE, override)
    assert "\n" not in str(refusal.value)
    assert cure in str(refusal.value)
    built(*WINE, cure)


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("variant=msssim_vae", "structural similarity is of images"),
        ("condition=image", "quadrants of images"),
        ("monitor.metric=val/psnr", "choose one of .*val/rmse"),
    ],
)
def test_what_only_images_have_is_refused(override, why):
    with pytest.raises(AelabError, match=why):
        built(*WINE, override)


def test_images_have_no_values_of_vectors():
    with pytest.raises(ConfigurationError, match="values=grey or dynamic would work"):
        built("values=standardised")


def test_bounded_vectors_have_bounded_means_and_may_be_binary(uniform):
    here = ["data=vectors", f"data.root={uniform}", "data.shape=[5]", "values=plain"]
    parts = built(*here, "data.bounds=[0,1]", "likelihood=bernoulli", "corruption=salt_and_pepper")
    assert parts.data.val_examples(9).x.min() >= 0
    likelihood = built(*here, "data.bounds=[-2,3]").training.model.likelihood
    means = likelihood(torch.tensor([-50.0, 0.0, 50.0]).expand(1, 1, 3)).mean
    assert_close(means, torch.tensor([[[-2.0, 0.5, 3.0]]]))
    with pytest.raises(DataError, match=r"data\.bounds says \[0.0, 0.5\]"):
        built(*here, "data.bounds=[0.0,0.5]")


def test_pseudo_inputs_of_vectors_may_lie_anywhere():
    model = built(*WINE, "variant=vamp_vae", "model.prior.components=7").training.model
    assert model.prior.bounds is None
    assert model.prior.pseudo_inputs.abs().max() > 1
    before = model.prior(None, model).component_distribution.mean
    with torch.no_grad():
        model.prior.pseudo_inputs.mul_(2)
    assert not torch.equal(model.prior(None, model).component_distribution.mean, before)


def test_a_loaded_mixture_of_posteriors_is_sampled(train, rows):
    model = aelab.load(train(*WINE, "variant=vamp_vae", "model.prior.components=7").path)
    assert model.encode(rows).shape == (len(rows), 16)
    assert model.sample(3, seed=0).isfinite().all()


def test_a_density_of_standardised_values_is_measured_in_them(run):
    """A Gaussian of deviation 1 around 0 costs log(2 pi) / 2 and half the squared value for each number."""
    metrics = run.read()["metrics"]
    expected = 0.5 * metrics["test/squared_error"] + 13 / 2 * math.log(2 * math.pi)
    assert metrics["test/distortion"] == pytest.approx(expected, rel=1e-6)
