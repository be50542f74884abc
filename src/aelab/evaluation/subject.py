"""A trained model with its data, as every part of an evaluation sees it."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from aelab.data.module import DataModule
from aelab.errors import InapplicableError
from aelab.metrics.estimands import evidence, reconstruction
from aelab.models import Autoencoder
from aelab.networks.conditioning import OneHot
from aelab.records import Batch, Trace
from aelab.seeds import seed_generators, step_seed

BLOCK = 500  # images in a batch; the noise follows from it, so it is the same for all runs and machines
T = TypeVar("T")


@dataclass
class Subject:
    """The model in evaluation mode on `device`, and the data that it was trained on.

    name: of the run. seed: of all noise. peers: the same configuration trained with other seeds.
    estimates: what this suite found before, by name: of a peer.
    """

    model: Autoencoder
    data: DataModule
    name: str
    seed: int
    device: torch.device
    peers: tuple["Subject", ...] = ()
    estimates: Mapping[str, float] = field(default_factory=dict)

    def batches(self, split: str = "test", count: int | None = None) -> Iterator[tuple[int, Batch]]:
        """The first `count` images in numbered blocks, on the device."""
        loader = self.data.batches(split, BLOCK)
        left = len(loader.images) if count is None else count
        for index, batch in enumerate(self.track(loader, f"{split} images", -(-left // BLOCK))):
            if left <= 0:
                return
            yield index, batch.map(lambda value: value[:left].to(self.device))  # noqa: B023
            left -= BLOCK

    def traces(
        self, split: str = "test", count: int | None = None, stage: str | None = None
    ) -> Iterator[Trace]:
        """One pass of each block; stage: names its noise, by default that of the test in training."""
        for index, batch in self.batches(split, count):
            self.fix_noise(stage or split, index)
            with torch.no_grad():
                yield self.model(batch)

    def fix_noise(self, stage: str, index: int = 0) -> None:
        """Make what is drawn next follow from the seed, the stage and the number of the block."""
        seed_generators(step_seed(self.seed, stage, batch=index), self.device)

    @cached_property
    def measured(self) -> dict[str, np.ndarray]:
        """Each estimand of each test image, (N,) float64: what training averages."""
        return self.measure("test")

    def measure(self, stage: str, count: int | None = None) -> dict[str, np.ndarray]:
        """The estimands of the test images under the noise of `stage`."""
        found = [{**evidence(t), **reconstruction(t)} for t in self.traces("test", count, stage)]
        return {name: torch.cat([each[name] for each in found]).cpu().numpy() for name in found[0]}

    def codes(self, split: str, count: int | None = None) -> np.ndarray:
        """Posterior means of the first `count` images: (N, latent), float32."""
        means = [trace.posterior.mean.flatten(1).float().cpu() for trace in self.traces(split, count)]
        return torch.cat(means).numpy()

    def labels(self, split: str, count: int | None = None) -> np.ndarray:
        """Their labels, (N,); InapplicableError where the data have none."""
        labels = self.data.images(split).y
        if labels is None or not self.data.classes:
            raise InapplicableError(f"{self.data.name} has no labels (data.classes is null)")
        return labels[:count].cpu().numpy()

    def factors(self, split: str, count: int | None = None) -> np.ndarray:
        """Their generative factors as levels from 0, (N, K); InapplicableError where none are known."""
        attributes = self.data.images(split).attributes
        if attributes is None or not self.data.attributes:
            raise InapplicableError(f"{self.data.name} has no known factors (data.attributes is null)")
        return np.stack([np.unique(a, return_inverse=True)[1] for a in attributes[:count].cpu().numpy().T], 1)

    def pixels(self, split: str, count: int | None = None) -> Tensor:
        """The images before the loader binarises them: (N, C, H, W) in [0, 1], on the CPU."""
        images = self.data.images(split)
        size = len(images) if count is None else min(count, len(images))
        return images.at(slice(size)).x.cpu().float() / 255

    @torch.no_grad()
    def samples(self, count: int, stage: str = "samples") -> Tensor:
        """Means of p(x|z,c), for codes of the prior and the conditions of the test images: (count, C, H, W).

        InapplicableError for a model without a prior.
        """
        if self.model.prior is None:
            raise InapplicableError("the model has no prior to sample from")
        return torch.cat(list(self.track(self._samples(count, stage), "samples", -(-count // BLOCK))))

    def _samples(self, count: int, stage: str) -> Iterator[Tensor]:
        for index, batch in enumerate(self._conditions(count)):
            self.fix_noise(stage, index)
            given = None if self.model.conditioner is None else batch
            yield self.model.sample(len(batch.x), given).cpu()

    def _conditions(self, count: int) -> Iterator[Batch]:
        """Test images in blocks, again from the first where there are too few."""
        while count > 0:
            for _, batch in self.batches("test", count):
                yield batch
                count -= len(batch.x)

    @property
    def label_conditional(self) -> bool:
        """Whether samples can be asked for by their label."""
        return isinstance(self.model.conditioner, OneHot)

    @staticmethod
    def track(steps: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
        """The same steps, shown by a bar while they are under way, on a terminal."""
        from tqdm import tqdm

        bar: Any = tqdm(steps, what, total, leave=False, disable=not sys.stderr.isatty())
        return bar
