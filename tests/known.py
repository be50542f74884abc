"""Models and data whose answers are known, as the parts of an evaluation see them."""

import numpy as np
import torch
from torch import nn

from aelab.core.records import Batch
from aelab.data import kinds
from aelab.data.module import DataModule
from aelab.data.splits import Observations, Splits
from aelab.data.values import Grey, Plain
from aelab.evaluation.subject import Subject
from aelab.models import Autoencoder
from aelab.models.distributions import Gaussian
from aelab.models.likelihoods import Likelihood
from aelab.models.posteriors import Posterior
from aelab.models.priors import StandardNormal

CPU = torch.device("cpu")
SHAPE, SIDE = (1, 2, 2), 2


class Vectors:
    """What a subject reads of a data module, for real vectors, which pixels could not hold."""

    name, classes, kind, values = "vectors", None, kinds.Reals(), Plain()

    def __init__(self, x):
        self.x = x

    def observations(self, split):
        return Rows(self.x)

    def batches(self, split, size):
        return Rows(self.x, size)


class Rows:
    y = attributes = None

    def __init__(self, x, size=1):
        self.x, self.size = x, size

    @property
    def observations(self):
        return self

    def __len__(self):
        return len(self.x)

    def __iter__(self):
        return (Batch(part) for part in self.x.split(self.size))


class Arrays:
    """A source of random grey images, in each of which one pixel is brighter: its label."""

    def prepare(self): ...

    def load(self):
        rng = np.random.default_rng(0)
        parts = {}
        for split, count in (("train", 4000), ("test", 300)):
            y = rng.integers(0, 4, count)
            x = rng.integers(0, 90, (count, *SHAPE)) + 150 * np.eye(4, dtype=int)[y].reshape(-1, *SHAPE)
            parts[split] = Observations(torch.from_numpy(x.astype(np.uint8)), torch.from_numpy(y))
        return Splits(**parts, checksums={"x": "md5:arrays"})


class Flat(nn.Module):
    def forward(self, x, context=None):
        return x.flatten(1)


class Pixels(Posterior):
    """Each dimension of the code is a pixel; constant: the same code for every image."""

    def __init__(self, constant=False, log_variance=-4.0):
        super().__init__(4)
        self.constant, self.log_variance = constant, log_variance

    def forward(self, h, step=0):
        loc = torch.zeros_like(h) if self.constant else h
        return Gaussian(loc, torch.full((), self.log_variance))


class Shown(nn.Module):
    """The code as an image; blind: the same image for every code; told: its label's pixel is brighter."""

    def __init__(self, blind=False, told=False):
        super().__init__()
        self.blind, self.told = blind, told

    def forward(self, z, context=None):
        if self.told:
            return ((45 + 150 * context) / 255 + 0.1 * z).unflatten(1, SHAPE)
        return torch.full((len(z), *SHAPE), 0.5) if self.blind else z.unflatten(1, SHAPE)


class Fixed(Likelihood):
    def forward(self, params):
        return Gaussian(params, torch.full((), -4.0), 3)


def subject(posterior=None, decoder=None, prior=True, labels=True, conditioner=None, seed=0):
    data = DataModule(
        "grey", Arrays(), SHAPE, 4 if labels else None, 64, 500, 100, kinds.Pixels(), Grey(), 0, (0, 1)
    )
    model = Autoencoder(
        Flat(), posterior or Pixels(), decoder or Shown(), Fixed(), StandardNormal(4) if prior else None,
        conditioner=conditioner,
    )  # fmt: skip
    return Subject(model.eval(), data, "known", seed, CPU)
