"""A trained model with its data, as every part of an evaluation sees it."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from aelab.cluster.devices import device_of
from aelab.core.errors import AelabError, InapplicableError
from aelab.core.records import Batch, Trace
from aelab.core.seeds import seed_generators, step_seed
from aelab.data.module import DataModule
from aelab.data.splits import Observations
from aelab.data.values import Values
from aelab.evaluation.dimensions import Dimensions, dimensions
from aelab.metrics.estimands import evidence
from aelab.metrics.units import activity
from aelab.models import Autoencoder
from aelab.runs.data import data_of
from aelab.runs.find import peers_of, spaces_of
from aelab.runs.folder import Run
from aelab.runs.model import model_of
from aelab.training.matmul import choose_matmul

BLOCK = 500  # images in a batch; the noise follows from it, so it is the same for all runs and machines
MANY_LEVELS = 0.1  # of the images: an attribute with so many values is continuous, and no factor of levels
T = TypeVar("T")


class Expected:
    """Means of values on the CPU, of what is stored at `rows`, a part at a time: e[part] is (K, *event)."""

    def __init__(self, found: Observations, values: Values, rows: Tensor) -> None:
        self.found, self.values, self.rows = found, values, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: Any) -> Tensor:
        """A slice, or an index (K,)."""
        return self.values.mean(self.found.at(self.rows[part].to(self.found.x.device)).x.cpu())


@dataclass
class Subject:
    """The model in evaluation mode on `device`, and the data that it was trained on.

    name: of the run. seed: of all noise. peers: the same configuration trained with other seeds.
    estimates: what this suite found before, by name, and spaces: the feature spaces that its samples were
    compared in: of a peer.
    """

    model: Autoencoder
    data: DataModule
    name: str
    seed: int
    device: torch.device
    peers: tuple["Subject", ...] = ()
    estimates: Mapping[str, float] = field(default_factory=dict)
    spaces: frozenset[str] = frozenset()
    _codes: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def batches(self, split: str = "test", count: int | None = None) -> Iterator[tuple[int, Batch]]:
        """`count` observations as they are drawn, in numbered blocks, on the device; None: all."""
        loader = self.data.batches(split, BLOCK, count)
        for index, batch in enumerate(self.track(loader, f"{split} {self.data.kind.nouns}", len(loader))):
            yield index, batch.map(lambda value: value.to(self.device))

    def traces(
        self, split: str = "test", count: int | None = None, stage: str | None = None, clean: bool = False
    ) -> Iterator[Trace]:
        """One pass of each block; stage: names its noise, by default that of the test in training.

        clean: whether the encoder of a denoising model sees the images as they are.
        """
        for index, batch in self.batches(split, count):
            self.fix_noise(stage or split, index)
            with torch.no_grad():
                trace = self.model(batch, shown=batch.x if clean else None)
            yield trace  # out of that block, which a reader who stops early would leave open

    def fix_noise(self, stage: str, index: int = 0) -> None:
        """Make what is drawn next follow from the seed, the stage and the number of the block."""
        seed_generators(step_seed(self.seed, stage, batch=index), self.device)

    @cached_property
    def measured(self) -> dict[str, np.ndarray]:
        """Each estimand of each test image as they are drawn, (N,) float64: what training averages."""
        return self.measure("test")

    @torch.no_grad()
    def measure(self, stage: str, count: int | None = None) -> dict[str, np.ndarray]:
        """The estimands of the test images under the noise of `stage`."""
        kind, bits = self.data.kind, self.data.values.bits
        traces = self.traces("test", count, stage)
        found = [{**evidence(trace, bits), **kind.errors(trace)} for trace in traces]
        return {name: torch.cat([each[name] for each in found]).cpu().numpy() for name in found[0]}

    @torch.no_grad()
    def codes(self, split: str, count: int | None = None) -> np.ndarray:
        """Posterior means of `count` images as they are drawn, uncorrupted: (N, latent), float32."""
        images = len(self.data.observations(split))
        size = images if count is None else min(count, images)
        if len(self._codes.get(split, ())) < size:
            traces = self.traces(split, size, clean=True)
            means = [trace.q.mean.flatten(1).float().cpu() for trace in traces]
            self._codes[split] = torch.cat(means).numpy()
        return self._codes[split][:size]

    @cached_property
    def dimensions(self) -> Dimensions:
        """Of the code, by the first block of the test split."""
        return dimensions(self.traces("test", BLOCK, clean=True), self.codes("test", BLOCK))

    @torch.no_grad()
    def activity(self, split: str) -> np.ndarray:
        """The activity of each unit of the codes, as `metrics.units` has it: (N, units), float32."""
        if self.model.codes is None:
            return self.codes(split)
        found = (activity(trace.q).cpu() for trace in self.traces(split, clean=True))
        return torch.cat(list(found)).numpy()

    def check_untold(self) -> None:
        """InapplicableError where the encoder is told what codes would be asked for."""
        told = None if self.model.conditioner is None else self.model.conditioner.tells
        if told in ("label", "attributes"):
            raise InapplicableError(
                f"the encoder is told the {told} of a {self.data.kind.noun}: codes do not show what it would "
                "find of them"
            )

    def labels(self, split: str, count: int | None = None) -> np.ndarray:
        """Their labels, (N,), -1 where one is unknown; InapplicableError where the data have none."""
        labels = self.data.observations(split).y
        if labels is None or not self.data.classes:
            raise InapplicableError(f"{self.data.name} has no labels (data.classes is null)")
        return labels.cpu()[self.data.drawn(split, count)].numpy()

    def labelled(self, split: str, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The codes (K, latent) and labels (K,) of `count` observations whose label is known.

        InapplicableError where none is.
        """
        labels = self.labels(split)
        known = np.flatnonzero(labels >= 0)[:count]
        if not len(known):
            raise InapplicableError(
                f"no label of the {split} {self.data.kind.nouns} of {self.data.name} is known"
            )
        return self.codes(split, int(known[-1]) + 1)[known], labels[known]

    def factors(self, split: str, count: int | None = None) -> dict[str, np.ndarray]:
        """Their generative factors, by name, as levels from 0 that mean the same in all splits: (N,) each.

        InapplicableError where none are known, or all are continuous.
        """
        if not self.levels:
            raise InapplicableError(
                f"{self.data.name} has no known factors (data.attributes is null)"
                if not self.data.attributes
                else f"the attributes of {self.data.name} are continuous: {', '.join(self.continuous)}"
            )
        found = self._attributes(split)[self.data.drawn(split, count).numpy()]
        columns = {name: found[:, self.data.attribute_names.index(name)] for name in self.levels}
        return {name: np.searchsorted(self.levels[name], column) for name, column in columns.items()}

    @cached_property
    def levels(self) -> dict[str, np.ndarray]:
        """The values of each attribute that has few, in order, over all splits."""
        if not self.data.attributes:
            return {}
        every = np.concatenate([self._attributes(split) for split in ("train", "val", "test")])
        values = {name: np.unique(a) for name, a in zip(self.data.attribute_names, every.T, strict=True)}
        return {name: found for name, found in values.items() if len(found) <= MANY_LEVELS * len(every)}

    @property
    def continuous(self) -> list[str]:
        """The attributes with too many values for levels."""
        return [name for name in self.data.attribute_names if name not in self.levels]

    def _attributes(self, split: str) -> np.ndarray:
        found = self.data.observations(split).attributes
        assert found is not None
        return found.cpu().numpy()

    def expected(self, split: str, count: int | None = None) -> Expected:
        """`count` observations before values are drawn: what means of p(x|z,c) tend to."""
        twin = self._expected
        return Expected(twin.observations(split), twin.values, twin.drawn(split, count))

    @cached_property
    def _expected(self) -> DataModule:
        return self.data.expected()

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
        return self.model.conditioner is not None and self.model.conditioner.classes > 0

    @staticmethod
    def track(steps: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
        """The same steps, shown by a bar while they are under way, on a terminal."""
        from tqdm import tqdm

        bar: Any = tqdm(steps, what, total, leave=False, disable=None)
        return bar


def subject_of(run: Run, config: DictConfig) -> Subject:
    """The model with the weights that validation chose, the data of its run, and its peers."""
    device = device_of(config.device)
    model = model_of(run).to(device)
    choose_matmul(model, BLOCK)
    data = data_of(run, config.data.root)
    subject = Subject(model, data, str(run.settings.name), int(run.settings.seed), device)
    return replace(subject, peers=tuple(_peers(run, subject, config)))


def _peers(run: Run, subject: Subject, config: DictConfig) -> Iterator[Subject]:
    """Those that are given, or those that are found and can be read."""
    given = None if config.peers is None else [Path(path) for path in config.peers]
    for peer in peers_of(run, given):
        try:
            yield _peer(peer, subject, config)
        except AelabError as error:
            if given is not None:
                raise
            print(f"warning: a run of another seed is left aside: {error}", file=sys.stderr)


def _peer(run: Run, subject: Subject, config: DictConfig) -> Subject:
    """A run of another seed, on the data and with the noise of the subject.

    It has estimates only where the very same parts made them: other options measure something else.
    """
    suite = str(config.suite.name)
    found, parts = run.folder.suite(suite), OmegaConf.to_container(config.suite.parts)
    return replace(
        subject,
        model=model_of(run).to(subject.device),
        name=run.folder.path.name,
        estimates=run.folder.estimates(suite) if found.get("parts") == parts else {},
        spaces=spaces_of(found),
    )
