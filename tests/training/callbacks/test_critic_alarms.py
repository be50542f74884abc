"""Alarms while training against critics."""

import json

import pytest
from small import small

from aelab.training.callbacks.critic_alarms import _alarms

GOOD = {"critic_samples_separation": 0.8, "gradient": 3.0, "loss": 1.0}


@pytest.mark.parametrize(
    ("means", "spread", "names"),
    [
        (GOOD, 0.9, []),
        (GOOD, None, []),
        ({}, None, []),
        (GOOD, 0.2, ["collapse"]),
        (GOOD | {"critic_samples_separation": 0.9999}, 0.9, ["saturated_samples"]),
        (GOOD | {"critic_two_words_advantage": 0.9995}, 0.9, ["loss_ratio_two_words"]),
        (GOOD | {"critic_samples_advantage": 0.9985}, 0.9, []),
        (GOOD | {"gradient": 1e-8}, 0.2, ["collapse", "gradient"]),
        (GOOD | {"gradient": float("nan")}, 0.9, ["gradient"]),
    ],
)
def test_an_alarm_is_raised_for_what_it_is_named_after(means, spread, names):
    found = dict(_alarms(means, spread))
    assert list(found) == names
    assert all(len(why.splitlines()) == 1 for why in found.values())


def test_samples_that_are_all_alike_are_logged_recorded_and_said_once(train, capsys):
    run = train("variant=gan", "trainer.max_epochs=2", base=small("gan"))
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    (first, _) = [row for row in rows if "val/diversity" in row]
    assert first["val/diversity"] < 0.5
    assert [row["alarm/collapse"] for row in rows if "alarm/collapse" in row] == [1, 1]
    # Its likelihood was not trained, so that nothing of it is told.
    assert {key for row in rows for key in row if key.startswith("test/")} == {"test/diversity"}
    assert not any("distortion" in key for row in rows for key in row)
    assert run.read()["alarms"]["collapse"].startswith("after step 3 samples lie")
    assert capsys.readouterr().err.count("alarm     collapse") == 1
    assert {"train/gradient", "train/critic_gradient"} <= rows[0].keys()


def test_trainings_without_critics_have_none(train):
    run = train()
    assert "alarms" not in run.read()
    assert "val/diversity" not in run.metrics.read_text()
