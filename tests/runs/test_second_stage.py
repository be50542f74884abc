"""Second stages: a prior of another run's codes, in a run that is whole and reconstructs to the same bits."""

import shutil
from functools import cache

import numpy as np
import pytest
import torch
from small import SMALL, only

import aelab
from aelab.config.compose import compose
from aelab.core.errors import AelabError
from aelab.core.signals import Signals
from aelab.runs.build import build
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.train import resume
from aelab.training.checkpoints import load, resume_points

PLAIN = [o for o in SMALL if not o.startswith("model.")]
SECOND = [*PLAIN, "variant=prior_of"]
MAPS = ["network=conv", "network.channels=[4,8]", "model.encoder.flat=false", "latent=2"]
FIRST = {
    "vae": ["variant=vae"],
    "ae": ["variant=ae"],
    "cvae": ["variant=cvae", "corruption=masking"],
    "vq_vae": ["variant=vq_vae", *MAPS, "model.posterior.quantiser.codes=8"],
    "iaf_vae": ["variant=iaf_vae"],
    "hvae": ["variant=hvae"],
    "gan": ["variant=gan"],
}
MIXTURE = ["model.prior.components=3"]


@pytest.fixture(scope="module")
def first(train_once):
    @cache
    def trained(name):
        base = {"vq_vae": PLAIN, "gan": [o for o in SMALL if "encoder" not in o]}.get(name, SMALL)
        return train_once(*FIRST[name], base=base)

    return trained


@pytest.mark.parametrize(
    ("name", "prior"),
    [
        ("vae", ["prior=gaussian_mixture", *MIXTURE]),
        ("ae", ["prior=full_gaussian_mixture", *MIXTURE]),
        ("ae", ["prior=flow_matching", "model.prior.widths=[8]", "model.prior.steps=2"]),
        ("cvae", ["prior=two_stage", "model.prior.widths=[8]"]),
        ("iaf_vae", ["prior=kde", "model.prior.components=2000"]),
        ("vq_vae", ["prior=pixel_cnn", "model.prior.width=8"]),
    ],
)  # fmt: skip
def test_a_second_stage_is_a_whole_run_that_reconstructs_to_the_same_bits(
    first, train, evaluate, tmp_path, name, prior
):
    source = RunFolder(tmp_path / "first")
    shutil.copytree(first(name).path, source.path)
    told = {"y": [1, 2, 3]} if name == "cvae" else {}
    x = (torch.rand(3, 1, 8, 8) > 0.5).float()
    before = aelab.load(source.path)
    expected, code = before.reconstruct(x, **told), before.encode(x, **told)
    run = train("variant=prior_of", f"start.run={source.path}", *prior, base=PLAIN)
    shutil.rmtree(source.path)
    after = aelab.load(run.path)
    assert np.array_equal(after.reconstruct(x, **told), expected)
    assert np.array_equal(after.encode(x, **told), code)
    assert after.sample(3, seed=0, **told).isfinite().all()
    metrics, old = run.read()["metrics"], first(name).read()["metrics"]
    assert metrics["test/distortion"] == pytest.approx(old["test/distortion"], rel=0.05)
    assert ("test/elbo" in metrics) == (name != "ae")
    assert evaluate(run, *only("likelihood"))["estimates"]
    if prior[0] in ("prior=gaussian_mixture", "prior=kde"):
        assert metrics["test/code_nll"] < old["test/code_nll"]
        assert metrics["test/elbo"] > old["test/elbo"]


def test_a_prior_with_steps_of_its_own_is_not_compiled_and_says_why(first, capsys):
    options = ["variant=prior_of", f"start.run={first('ae').path}", *MIXTURE, "training.compile=step"]
    training = build(compose([*PLAIN, *options])).training
    assert training.compiled is None
    assert "fitted by steps of its own" in training.eager
    assert f"steps stay eager: {training.eager}" in capsys.readouterr().err


def test_expectation_maximisation_takes_one_step_an_epoch_and_is_resumed_to_the_bit(first, train):
    options = [f"start.run={first('ae').path}", *MIXTURE, "trainer.max_epochs=4", "resume_points.keep=99"]
    run = train("variant=prior_of", *options, "resume_points.every_seconds=0", base=PLAIN)
    points = resume_points(run.checkpoints)
    assert [load(point)["global_step"] for point in points] == [4, 3, 2, 1]
    journal = run.metrics.read_bytes()
    last = load(points[0])["state_dict"]
    run.update(status=Status.KILLED)
    for point in points[:2]:
        point.unlink()
    resume(Run.open(run.path), Signals())
    assert run.metrics.read_bytes() == journal
    again = load(resume_points(run.checkpoints)[0])["state_dict"]
    assert all(value.equal(again[name]) for name, value in last.items())


@pytest.mark.parametrize(
    ("name", "overrides", "sentence"),
    [
        ("gan", [], "has no encoder"),
        ("hvae", ["structure=hamiltonian"], "inference reads the prior"),
        ("vae", ["prior=none"], "a prior of codes: choose another prior than none"),
        ("vae", ["prior=transformer"], "no entries of a codebook"),
        ("vq_vae", ["prior=realnvp"], r"the posterior's codes \(codebook\) do not lie where"),
        ("vae", ["data.split_seed=1"], "data.split_seed is 0 in .*, and 1 here: a second stage is of"),
        ("vae", ["values=dynamic"], "data.values is .* a second stage is of the codes of the same data"),
        ("vae", ["data=wine"], "data.shape is"),
        ("vae", ["start.frozen=[encoder,decoder]"], "and posterior.* is trained too"),
        ("vae", ["model.prior.components=0"], "at least 1 component"),
        ("vae", ["trainer.devices=2", "trainer.strategy=ddp"], "fitted by one process, and these are 2"),
    ],
)  # fmt: skip
def test_what_is_no_second_stage_is_refused_in_one_sentence(first, name, overrides, sentence):
    with pytest.raises(AelabError, match=sentence) as refusal:
        build(compose([*SECOND, f"start.run={first(name).path}", *overrides]))
    assert len(str(refusal.value).splitlines()) == 1


def test_a_second_stage_on_nothing_is_refused():
    with pytest.raises(AelabError, match=r"parts of another run as they are, as variant=prior_of"):
        compose(["variant=prior_of"])
    with pytest.raises(AelabError, match="fitted to the codes of a trained model"):
        build(compose([*SMALL, "prior=kde"]))
    with pytest.raises(AelabError, match="cannot be read"):
        compose(["variant=prior_of", "start.run=nowhere"])
