"""Every choice under conf/ is composed, built and trained for a few batches, so that none can rot."""

import json
from itertools import product

import pytest
from small import SMALL

from aelab.composition import choices
from aelab.runs.folder import Status

BATCHES = [o for o in SMALL if not o.startswith("model.")]


def finished(run):
    assert run.status is Status.FINISHED
    metrics = run.read()["metrics"]
    assert metrics["test/mse"] > 0
    assert json.loads(run.metrics.read_text().splitlines()[0])["step"] == 3
    return metrics


@pytest.mark.parametrize(("variant", "network"), product(choices("variant"), choices("network")))
def test_every_variant_with_every_network(train, variant, network):
    finished(train(f"variant={variant}", f"network={network}", base=BATCHES))


@pytest.mark.parametrize(("variant", "likelihood"), product(choices("variant"), choices("likelihood")))
def test_every_variant_with_every_likelihood(train, variant, likelihood):
    metrics = finished(train(f"variant={variant}", f"likelihood={likelihood}"))
    assert ("test/elbo" in metrics) == ("vae" in variant)


@pytest.mark.parametrize(
    "override",
    [
        f"{group}={choice}"
        for group in (
            "optimizer",
            "lr_schedule",
            "corruption",
            "binarization",
            "objective/penalty",
            "callback",
        )
        for choice in choices(group)
    ],
)
def test_every_other_choice(train, override):
    finished(train(override))


@pytest.mark.parametrize("variant", choices("variant"))
def test_every_variant_in_mixed_precision(train, variant):
    finished(train(f"variant={variant}", "trainer.precision=bf16-mixed"))


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment(train, experiment, mnist_root):
    finished(train(f"experiment={experiment}", f"data.root={mnist_root}", base=BATCHES))
