"""Samples of a label-conditional VAE carry the label that was asked for, to a classifier of real digits."""

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from aelab.composition import compose
from aelab.records import Batch
from aelab.runs.build import build
from aelab.runs.train import settings_of
from aelab.training.checkpoints import load


@pytest.mark.slow
def test_samples_carry_their_label(train, real_data):
    mnist = ["data=mnist", f"data.root={real_data('mnist')}", "condition=label"]
    few = ["logger=[]", "trainer.max_epochs=6"]
    run = train("variant=cvae", "binarization=dynamic", *mnist, base=few)
    parts = build(settings_of(run))
    parts.training.load_state_dict(load(run.checkpoints / "best.ckpt")["state_dict"])
    classifier, accuracy = digit_classifier(mnist)
    assert accuracy > 0.95
    labels = torch.arange(10).repeat(100)
    given = Batch(torch.zeros(len(labels), *parts.data.shape), labels)
    with torch.no_grad():
        samples = parts.training.model.eval().sample(len(labels), given)
    found = classifier.predict(samples.flatten(1).numpy())
    share = (torch.from_numpy(found) == labels).float().mean().item()
    print(f"{share:.1%} of the samples carry their label; the classifier reads {accuracy:.1%} of digits")
    assert share >= 0.95


def digit_classifier(overrides):
    """Nearest neighbours among 20,000 training digits, and its accuracy on 2,000 validation digits."""
    data = build(compose([*overrides, "logger=[]"])).data
    train, val = data.train_examples(20_000), data.val_examples(2_000)
    classifier = KNeighborsClassifier(3).fit(train.x.flatten(1).numpy(), train.y.numpy())
    return classifier, classifier.score(val.x.flatten(1).numpy(), val.y.numpy())
