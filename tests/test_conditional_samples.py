"""Samples of a label-conditional VAE carry the label that was asked for, to a classifier of real digits."""

import pytest
import torch
from sklearn.neural_network import MLPClassifier

from aelab.config.compose import compose
from aelab.config.recorded import recorded_settings
from aelab.core.records import Batch
from aelab.runs.build import build
from aelab.training.checkpoints import load


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_samples_carry_their_label(train, real_data):
    mnist = ["data=mnist", f"data.root={real_data('mnist')}", "logger=[]"]
    variant = ["variant=flow_prior_vae", "condition=label", "values=dynamic"]
    run = train(*variant, *mnist, base=["trainer.max_epochs=12", "threads=1"])
    parts = build(recorded_settings(run.config))
    parts.training.load_state_dict(load(run.checkpoints / "best.ckpt")["state_dict"])
    classifier, accuracy = digit_classifier(mnist)
    assert accuracy > 0.96
    labels = torch.arange(10).repeat(200)
    given = Batch(torch.zeros(len(labels), *parts.data.shape), labels)
    with torch.no_grad():
        samples = parts.training.model.eval().sample(len(labels), given)
    found = torch.from_numpy(classifier.predict(samples.flatten(1).numpy()))
    share = (found == labels).float().mean().item()
    print(f"{share:.1%} of the samples carry their label; the classifier reads {accuracy:.1%} of digits")
    assert share >= 0.95


def digit_classifier(overrides):
    """An MLP of the training digits, and its accuracy on the validation digits."""
    data = build(compose(overrides)).data
    train, val = data.train_examples(55_000), data.val_examples(5_000)
    classifier = MLPClassifier((256,), max_iter=12, random_state=0)
    classifier.fit(train.x.flatten(1).numpy(), train.y.numpy())
    return classifier, classifier.score(val.x.flatten(1).numpy(), val.y.numpy())
