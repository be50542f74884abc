"""A training on the same few batches."""

from types import SimpleNamespace

import torch

from aelab.config.compose import compose
from aelab.data.splits import subset
from aelab.loggers.jsonl import rows
from aelab.runs.build import data_module
from aelab.training.callbacks.overfit import Overfit


def test_every_epoch_is_of_the_same_few_observations():
    data = data_module(compose(["data.batch_size=8"]))
    data.setup()
    loader = data.train_dataloader()
    drawn = loader.observations.x[subset(24, len(loader.observations))]
    Overfit().on_train_start(SimpleNamespace(train_dataloader=loader, num_training_batches=3), None)
    assert len(loader) == 3
    orders = []
    for epoch in (0, 1):
        loader.set_epoch(epoch)
        orders.append(torch.cat([batch.x for batch in loader]))
        shown, kept = (x.flatten(1).sum(1).sort().values for x in (orders[-1], drawn / 255))
        assert torch.allclose(shown, kept)
    assert not torch.equal(*orders)


def test_one_batch_is_learned_by_heart(train):
    few = ["trainer.max_epochs=300", "data.batch_size=16"]
    run = train("debug=one_batch", *few, base=["logger=[]", "threads=1"])
    losses = [row["train/loss"] for row in rows(run.metrics) if "train/loss" in row]
    assert min(losses[-3:]) < 0.85 * losses[0]
    assert run.read()["samples_seen"] == 300 * 16
