"""Training in which inference steps more often: what steps when, and until when."""

import pytest
import torch
from small import SMALL

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.runs.build import build
from aelab.training.checkpoints import load

STEPS = ["trainer.limit_train_batches=5"]


def weights(run):
    return load(run.checkpoints / "best.ckpt")["state_dict"]


def begun():
    return build(compose([*SMALL, "variant=aggressive_vae", *STEPS])).training


def changed(found, before):
    """The parts of the model of which a weight is not what it was."""
    return {name.split(".")[1] for name, value in before.items() if not torch.equal(found[name], value)}


def test_the_decoder_waits_for_its_round(train):
    before = {name: p.clone() for name, p in begun().named_parameters()}
    inference = {"encoder", "posterior"}
    waits = train("variant=aggressive_vae", "prior=gaussian_mixture", "training.rounds=6", *STEPS)
    first = build(compose([*SMALL, "variant=aggressive_vae", "prior=gaussian_mixture", *STEPS])).training
    started = {name: p.clone() for name, p in first.named_parameters()}
    assert changed(weights(waits), started) == inference
    steps = train("variant=aggressive_vae", "training.rounds=5", *STEPS)
    assert changed(weights(steps), before) == {*inference, "decoder"}


def test_with_one_round_it_is_as_any_training(train):
    ours, theirs = train("variant=aggressive_vae", "training.rounds=1", *STEPS), train("variant=vae", *STEPS)
    found, expected = weights(ours), weights(theirs)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_it_ends_for_good_where_the_information_no_longer_climbs(monkeypatch):
    training, logged = begun(), []
    monkeypatch.setattr(training, "log_values", lambda values: logged.append(values["train/aggressive"]))
    for nats in (0.5, 1.5):
        training.follow_information(nats)
    assert training.climbing
    kept = {}
    monkeypatch.setattr(training.window, "check", lambda: None)
    training.on_save_checkpoint(kept)
    training.follow_information(1.4)
    assert not training.climbing
    again = begun()
    again.on_load_checkpoint(kept)
    assert (again.climbing, again.best) == (True, 1.5)
    again.window.append({}, 0, 1)
    assert logged == [1, 1, 0]


def test_the_information_is_that_of_codes_that_name_their_observations():
    training = begun()
    posterior = training.model.posterior.projection
    with torch.no_grad():
        posterior.bias[posterior.bias.shape[0] // 2 :] -= 12  # so narrow that no code is another's
        posterior.weight *= 10
    batch = build(compose([*SMALL, *STEPS])).data.val_examples(50)
    assert training.information(batch) == pytest.approx(torch.tensor(50.0).log().item(), abs=1e-3)
    with torch.no_grad():
        posterior.weight.zero_()
    assert training.information(batch) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["posterior=iaf"], "posterior=diagonal_gaussian"),
        (["posterior=none", "objective=iwae"], "posterior=diagonal_gaussian"),
        (["structure=hamiltonian"], "structure=plain"),
        (["training.compile=step"], "training.compile=null"),
        (["training.rounds=0"], "at least 1"),
    ],
)
def test_what_has_no_inference_apart_is_refused(overrides, why):
    base = [o for o in SMALL if "encoder" not in o] if "posterior=none" in overrides else SMALL
    with pytest.raises(ConfigurationError, match=why):
        build(compose([*base, "variant=aggressive_vae", *overrides]))
