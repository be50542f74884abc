"""What of a model is averaged over its steps, and what is that of the last one."""

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from aelab.core.records import Sizes
from aelab.models.geometry import Centroids
from aelab.models.posteriors.quantisers import AveragedCodebook
from aelab.models.priors import Exemplar
from aelab.training.callbacks.moving_average import MovingAverage

DECAY, STEPS = 0.9, 5


class Everything(LightningModule):
    """Parts with each kind of buffer, which move at each step as those of a training do."""

    def __init__(self):
        super().__init__()
        self.normal, self.centroids = nn.BatchNorm1d(3), Centroids(3, 2, centroids=8)
        self.book = AveragedCodebook(4, 3)
        self.exemplar = Exemplar(Sizes(shape=(6,), latent=2, vocabulary=90), 7)
        self.exemplar.initialise(torch.arange(1, 43).view(7, 6))
        self.seen = []

    def training_step(self, batch, _):
        self.centroids(batch, batch[:, :2])
        self.book.follow(batch, self.book(batch), 0.9)
        return self.normal(batch).square().sum() + self.centroids.factors.weight.sum()

    def on_train_batch_end(self, *_):
        self.seen.append({name: value.clone() for name, value in self.state_dict().items()})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    module = Everything()
    Trainer(
        accelerator="cpu", max_steps=STEPS, callbacks=MovingAverage(DECAY), logger=False, barebones=True
    ).fit(module, DataLoader(torch.randn(4 * STEPS, 3), 4))
    return module


COPIED = {
    "normal.num_batches_tracked", "centroids.centres", "centroids.matrices", "exemplar.exemplars",
    "exemplar.logits",
}  # fmt: skip


def test_each_kind_of_number_is_averaged_or_of_the_last_step(trained):
    first, *others = trained.seen
    for name, found in trained.state_dict().items():
        mean = first[name]
        for other in others:
            mean = other[name] if name in COPIED else torch.lerp(mean, other[name], 1 - DECAY)
        torch.testing.assert_close(found, mean, msg=name)
    moved = {name for name, value in others[-1].items() if not torch.equal(value, first[name])}
    assert {"normal.weight", "normal.running_var", "book.total", "centroids.centres"} <= moved
