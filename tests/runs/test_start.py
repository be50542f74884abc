"""Trainings that start from parts of another run: equal to the bit, held where asked, whole in themselves."""

import shutil

import pytest
import torch
from small import SMALL, only, small

import aelab
from aelab.config.compose import compose
from aelab.config.identity import fingerprint
from aelab.config.recorded import recorded_settings
from aelab.core.errors import AelabError, ConfigurationError, RunError
from aelab.core.signals import Signals
from aelab.runs.build import build
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.train import resume
from aelab.training.checkpoints import load, resume_points

PLAIN = [o for o in SMALL if not o.startswith("model.")]
PARTS = ("encoder", "posterior", "decoder")
POINTS = ["resume_points.every_batches=1", "resume_points.keep=99"]


@pytest.fixture(scope="module")
def first(train_once):
    return train_once("variant=cvae", "latent=3")


def replace(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def from_run(run, *overrides, parts="encoder,posterior,decoder"):
    return [*PLAIN, "variant=cvae", f"start.run={run.path}", f"start.parts=[{parts}]", *overrides]


def weights(path, *slots):
    prefixes = tuple(f"model.{slot}." for slot in slots)
    return {k: v for k, v in load(path)["state_dict"].items() if k.startswith(prefixes)}


def same(one, other):
    return one.keys() == other.keys() and all(value.equal(other[name]) for name, value in one.items())


def test_before_the_first_step_the_parts_are_those_of_the_other_run(first):
    config = compose(from_run(first))
    assert config.model.encoder == recorded_settings(first.config).model.encoder
    assert (config.latent, config.model.latent) == (3, 3)
    state = build(config).training.state_dict()
    taken = weights(first.best, *PARTS)
    assert len(taken) > 5
    assert same({name: state[name] for name in taken}, taken)


def test_the_digest_decides_and_the_place_does_not(first, tmp_path):
    here, there = first, RunFolder(tmp_path / "copy")
    shutil.copytree(here.path, there.path)
    one, other = (compose(from_run(run)) for run in (here, there))
    assert one.start.run != other.start.run
    assert fingerprint(one) == fingerprint(other)
    content = there.best.read_bytes()
    there.best.write_bytes(content + b"\0")
    assert fingerprint(compose(from_run(there))) != fingerprint(one)


@pytest.mark.parametrize("frozen", ["encoder,posterior", "decoder"])
def test_frozen_parts_are_not_trained_and_the_run_is_whole(first, train, evaluate, tmp_path, frozen):
    source = RunFolder(tmp_path / "first")
    shutil.copytree(first.path, source.path)
    options = [f"start.frozen=[{frozen}]", *POINTS, "trainer.limit_train_batches=4"]
    run = train(*from_run(source, *options), base=[])
    shutil.rmtree(source.path)
    held, moved = frozen.split(","), [slot for slot in PARTS if slot not in frozen]
    newest = resume_points(run.checkpoints)[0]
    assert same(weights(newest, *held), weights(first.best, *held))
    before, after = weights(first.best, *moved), weights(newest, *moved)
    assert not any(value.equal(before[name]) for name, value in after.items() if value.dim() > 1)
    stepped = load(newest)["optimizer_states"][0]["param_groups"][0]["params"]
    assert len(stepped) == len(weights(newest, *moved, "prior"))
    journal = run.metrics.read_bytes()
    run.update(status=Status.KILLED)
    for point in resume_points(run.checkpoints)[:2]:
        point.unlink()
    resume(Run.open(run.path), Signals())
    assert run.metrics.read_bytes() == journal
    assert aelab.load(run.path).encode(torch.zeros(2, 1, 8, 8), y=0).shape == (2, 3)
    assert evaluate(run, *only("reconstruction"))["estimates"]


def test_frozen_parts_stay_in_evaluation_mode(first):
    training = build(compose(from_run(first, "start.frozen=[decoder]"))).training.train()
    assert (training.model.decoder.training, training.model.encoder.training) == (False, True)
    training.model.train()
    assert not training.model.decoder.training


def test_a_prior_that_is_taken_over_is_not_drawn_from_the_data(train):
    vamp = ["variant=vamp_vae", "model.prior.components=4"]
    run = train(*vamp)
    config = compose(
        [*PLAIN, *vamp[:1], f"start.run={run.path}", "start.parts=[encoder,posterior,decoder,prior]"]
    )
    state, taken = build(config).training.state_dict(), weights(run.best, "prior")
    assert taken
    assert same({name: state[name] for name in taken}, taken)


@pytest.mark.parametrize(
    ("parts", "overrides", "sentence"),
    [
        ("encoder,prior", [], "has no prior"),
        ("encodr", [], "a model has no encodr: choose of encoder"),
        ("encoder", ["start.frozen=[decoder]"], "add it to start.parts"),
        ("encoder", ["model.encoder.widths=[8]"], r"model\.encoder\.widths=\[8\]: the encoder is taken over"),
        ("encoder,decoder", ["network=conv"], "network=conv: the encoder is taken over"),
        ("posterior", ["posterior=full_gaussian"], "the posterior is taken over"),
        ("decoder", ["latent=8"], "latent=8: the decoder is taken over"),
        ("encoder", ["condition=none", "prior=standard_normal"], "encoder of .* has other weights"),
        ("posterior", [], "posterior of .* has other weights"),
        ("encoder", ["structure=hamiltonian"], "model.structure is"),
        ("encoder", ["data.shape=[1,8,4]"], r"data.shape is \[1, 8, 8\]"),
        ("encoder", ["start.sha256=abc"], "other weights than start.sha256=abc"),
        (",".join(PARTS), ["start.frozen=${start.parts}", "prior=standard_normal"], "leaves no weight"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_over_is_refused(train_once, first, parts, overrides, sentence):
    run = train_once("variant=ae") if "prior" in parts else first
    with pytest.raises(ConfigurationError, match=sentence):
        build(compose(from_run(run, *overrides, parts=parts)))


def test_parts_of_no_run_are_refused():
    with pytest.raises(ConfigurationError, match="give start"):
        compose(["start.frozen=[encoder]"])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda run: run.config.unlink(), "cannot be read"),
        (lambda run: run.best.unlink(), "reached its first validation"),
        (lambda run: run.best.write_bytes(b"no checkpoint"), "damaged"),
        (lambda run: replace(run.config, "MLPEncoder", "Path"), "no part"),
        (lambda run: replace(run.config, "seed: 0", "seed: 1"), "another configuration"),
    ],
)  # fmt: skip
def test_the_first_run_is_opened_as_an_evaluation_opens_it(first, tmp_path, damage, sentence):
    run = RunFolder(tmp_path / "copy")
    shutil.copytree(first.path, run.path)
    damage(run)
    with pytest.raises(RunError, match=sentence):
        build(compose(from_run(run)))


def test_weights_that_change_after_composing_are_refused(first, tmp_path):
    run = RunFolder(tmp_path / "copy")
    shutil.copytree(first.path, run.path)
    config = compose(from_run(run))
    shutil.copy(resume_points(run.checkpoints)[0], run.best)
    with pytest.raises(AelabError, match="has no weights of"):
        build(config)


def test_an_encoder_is_trained_for_the_frozen_generator_of_another_run(train):
    generator = train("variant=gan", base=small("gan"))
    options = ["variant=gan_inversion", "network=conv", f"start.run={generator.path}"]
    inverted = train(*options, base=small(network="conv"))
    taken = weights(generator.best, "decoder", "likelihood", "prior")
    assert taken
    assert same(taken, weights(inverted.best, "decoder", "likelihood", "prior"))
    assert weights(inverted.best, "encoder")
    assert "test/mse" in inverted.read()["metrics"]
    with pytest.raises(ConfigurationError, match=r"gan_inversion .*give start\.run=FOLDER"):
        compose(["variant=gan_inversion"])
