"""Models and data whose answers are known, as the parts of an evaluation see them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from aelab.core.records import Batch, Sizes
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

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def observations(self, split: str) -> "Rows":
        return Rows(self.x)

    def drawn(self, split: str, count: int | None = None) -> Tensor:
        return torch.arange(len(self.x))[:count]

    def batches(self, split: str, size: int, count: int | None = None) -> "Rows":
        return Rows(self.x[:count], size)


class Rows:
    """Vectors in batches."""

    y = attributes = None

    def __init__(self, x: Tensor, size: int = 1) -> None:
        self.x, self.size = x, size

    @property
    def observations(self) -> "Rows":
        return self

    def __len__(self) -> int:
        return -(-len(self.x) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        return (Batch(part) for part in self.x.split(self.size))


class Arrays:
    """A source of random grey images, in each of which one pixel is brighter: its label."""

    def prepare(self) -> None: ...

    def load(self) -> Splits:
        rng = np.random.default_rng(0)
        parts = {}
        for split, count in (("train", 4000), ("test", 300)):
            y = rng.integers(0, 4, count)
            x = rng.integers(0, 90, (count, *SHAPE)) + 150 * np.eye(4, dtype=int)[y].reshape(-1, *SHAPE)
            parts[split] = Observations(torch.from_numpy(x.astype(np.uint8)), torch.from_numpy(y))
        return Splits(**parts, checksums={"x": "md5:arrays"})


class Flat(nn.Module):
    """The image as it is, as a vector."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x.flatten(1)


class Pixels(Posterior):
    """Each dimension of the code is a pixel; constant: the same code for every image."""

    def __init__(self, constant: bool = False, log_variance: float = -4.0) -> None:
        super().__init__((4,))
        self.constant, self.log_variance = constant, log_variance

    def forward(self, h: Tensor, step: int = 0) -> Gaussian:
        loc = torch.zeros_like(h) if self.constant else h
        return Gaussian(loc, torch.full((), self.log_variance))


class Shown(nn.Module):
    """The code as an image; blind: the same image for every code; told: its label's pixel is brighter."""

    def __init__(self, blind: bool = False, told: bool = False) -> None:
        super().__init__()
        self.blind, self.told = blind, told

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        if self.told:
            return ((45 + 150 * context) / 255 + 0.1 * z).unflatten(1, SHAPE)
        return torch.full((len(z), *SHAPE), 0.5) if self.blind else z.unflatten(1, SHAPE)


class Fixed(Likelihood):
    """Around the image that the decoder gives, of one scale."""

    log_variance = -4.0

    def forward(self, params: Tensor) -> Gaussian:
        return Gaussian(params, torch.full((), self.log_variance), 3)


def subject(
    posterior: Posterior | None = None, decoder: nn.Module | None = None, prior: bool = True,
    labels: bool = True, conditioner: nn.Module | None = None, seed: int = 0,
) -> Subject:  # fmt: skip
    """A model and its data, of which all is known."""
    data = DataModule(
        "grey", Arrays(), SHAPE, 4 if labels else None, 64, 500, 100, kinds.Pixels(), Grey(), 0, (0, 1)
    )
    model = Autoencoder(
        Flat(), posterior or Pixels(), decoder or Shown(), Fixed(),
        prior=StandardNormal(Sizes(latent=4)) if prior else None, conditioner=conditioner,
    )  # fmt: skip
    return Subject(model.eval(), data, "known", seed, CPU)
