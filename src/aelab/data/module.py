"""The data of a run: a source cut into train, validation and test, and the loaders of each."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.data.declared import Declared
from aelab.data.held_out import HeldOut
from aelab.data.kinds import Kind
from aelab.data.kinds.base import Bounds
from aelab.data.labels import Labelled
from aelab.data.loader import EvalLoader, TrainLoader
from aelab.data.splits import Observations, Source
from aelab.data.values import Values

CPU = torch.device("cpu")


class DataModule(LightningDataModule):
    """Observations resident on the trainer's device, in three splits that never share one.

    name: what errors and records call the data.
    shape: of an observation, as (C, H, W), checked against the source's.
    classes: labels are in range(classes), checked; None where they are not used.
    batch_size, eval_batch_size: observations in one process's batch.
    kind: what an observation is. values: what the model sees of what is stored.
    bounds: of these values, checked; None where they have none.
    attributes: how many attributes each observation has, checked; None where they are not used.
    attribute_names: what figures and tables call them; None: numbers.
    validation: how many observations, or which share in (0, 1), are cut from the source's training split;
        None: the validation split that was published with it.
    folds, fold: instead, the equal parts that the source's training split is cut into, and which of them,
        from 0, is validation.
    labelled, labelled_seed, labelled_share: of the training split; see `Labelled`.
    seed: the run's, for order and noise. split_seed: which are validation, the same in all runs.

    `position` is the (epoch, batch) at which training begins, set to continue a run.
    `checksums` says what was read, after `setup`.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        shape: Sequence[int],
        classes: int | None,
        batch_size: int,
        eval_batch_size: int,
        validation: int | float | None,
        kind: Kind,
        values: Values,
        seed: int,
        bounds: Bounds = None,
        split_seed: int = 0,
        attributes: int | None = None,
        attribute_names: Sequence[str] | None = None,
        folds: int | None = None,
        fold: int = 0,
        labelled: int | None = None,
        labelled_seed: int = 0,
        labelled_share: float | None = None,
    ) -> None:
        super().__init__()
        if attribute_names is not None and len(attribute_names) != attributes:
            raise ConfigurationError(
                f"data.attribute_names={list(attribute_names)} names {len(attribute_names)} attributes, and "
                f"data.attributes is {attributes}: name all of them, or none"
            )
        self.name = name
        self.source = source
        self.kind, self.values = kind, values
        self.bounds = None if bounds is None else tuple(bounds)
        self.shape = tuple(shape)
        self.classes = classes
        self.attributes = attributes
        self.attribute_names = list(attribute_names or (f"attribute {i}" for i in range(attributes or 0)))
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.held_out = HeldOut(validation, folds, fold, split_seed)
        self.labelled = Labelled(labelled, labelled_seed, labelled_share, classes)
        self.seed = seed
        self.position = (0, 0)
        self.checksums: dict[str, str] = {}
        self._observations: dict[str, Observations] = {}

    @classmethod
    def at_root(cls, source: Callable[..., Source], root: str | Path | None, **options: Any) -> "DataModule":
        """A module whose `source` is completed with `root`, the place of the user's files."""
        return cls(source=source(root=root), **options)

    def prepare_data(self) -> None:
        """Make the source's files present."""
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Read, check and cut the data, once; DataError or ConfigurationError where they do not fit."""
        if self._observations:
            return
        self._check_batches()
        declared = Declared(
            str(self.name), self.kind, self.values, self.shape, self.bounds, self.classes, self.attributes
        )
        splits = self.source.load()
        declared.check(splits)
        published = None if splits.validation is None else self._prepared(splits.validation)
        whole = self._prepared(splits.train)
        train, val = self.held_out.cut(whole, published, str(self.name), self.kind.nouns)
        train = self.labelled.hide(train)
        self.labelled.check(train, self.batch_size)
        self.values.fit(train.x if train.rows is None else train.at(slice(None)).x)
        train = self.labelled.hide(train)
        self.labelled.check(train, self.batch_size)
        found = {"train": train, "val": val, "test": self._prepared(splits.test)}
        declared.check_bounds(found)
        self._observations, self.checksums = found, splits.checksums

    @property
    def has_labels(self) -> bool:
        """Whether batches carry labels."""
        self.setup()
        return self._observations["train"].y is not None

    def train_dataloader(self) -> TrainLoader:
        """Shuffled batches of the training split, from `position` on."""
        parts = {**self._parts("train"), **self._share(), "labelled": self.labelled}
        loader = TrainLoader(**parts, batch_size=self.batch_size)
        loader.start_at(*self.position)
        return loader

    def val_dataloader(self) -> EvalLoader:
        """Batches of the validation split, in order."""
        return self._eval_loader("val")

    def test_dataloader(self) -> EvalLoader:
        """Batches of the test split, in order."""
        return self._eval_loader("test")

    def train_examples(self, count: int) -> Batch:
        """`count` of the training split, at random but the same at every call, with a batch's noise."""
        return self._examples("train", count)

    def val_examples(self, count: int) -> Batch:
        """The first `count` validation observations with the same noise at every call, on every rank."""
        return self._examples("val", count)

    def test_examples(self, count: int) -> Batch:
        """The first `count` test observations with the same noise at every call, on every rank."""
        return self._examples("test", count)

    def batches(self, split: str, size: int) -> EvalLoader:
        """Batches of `size` of "train", "val" or "test", in order, with the same noise at every call."""
        return EvalLoader(**self._parts(split), batch_size=size)

    def observations(self, split: str) -> Observations:
        """What is stored of a split, with labels and attributes where they are known."""
        self.setup()
        return self._observations[split]

    def known(self, split: str) -> Batch:
        """What is known of all observations of a split, without themselves: x is empty."""
        found = self.observations(split)
        return Batch(found.x[:0], found.y, found.attributes)

    def expected(self) -> "DataModule":
        """The same splits before values are drawn: by `values.mean`, what a model's own means tend to."""
        if not self.values.draws_once:
            return self
        twin = copy(self)
        twin.values, twin._observations = self.values.undrawn(), {}
        return twin

    def with_seed(self, seed: int) -> "DataModule":
        """The same observations, shared, in the order and with the noise of another run's seed."""
        twin = copy(self)
        twin.seed = seed
        return twin

    def state_dict(self) -> dict[str, Any]:
        """Where a training continues from; Lightning keeps it in its checkpoints."""
        return {"position": list(self.position)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Begin the next training loader at a checkpoint's position."""
        self.position = tuple(state_dict["position"])

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The batch itself: loaders make it on the device."""
        return batch

    def _eval_loader(self, split: str) -> EvalLoader:
        return EvalLoader(**self._parts(split), batch_size=self.eval_batch_size, **self._share())

    def _examples(self, split: str, count: int) -> Batch:
        return next(iter(self.batches(split, count)))

    def _parts(self, split: str) -> dict[str, Any]:
        return {
            "observations": self._resident(split),
            "values": self.values,
            "seed": self.seed,
            # Not the bare split: noise that a model seeds with that name would repeat the bits drawn here.
            "stage": f"data/{split}",
            "device": self._device,
        }

    def _share(self) -> dict[str, Any]:
        if self.trainer is None:
            return {}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    @property
    def _device(self) -> torch.device:
        return CPU if self.trainer is None else self.trainer.strategy.root_device

    def _resident(self, split: str) -> Observations:
        self.setup()
        self._observations[split] = self._observations[split].to(self._device)
        return self._observations[split]

    def _prepared(self, found: Observations) -> Observations:
        if found.rows is None:
            return replace(found, x=self.values.prepare(found.x))
        one = found.x[:1]
        if self.values.prepare(one) is not one:
            raise ConfigurationError(
                f"data.values would copy all {self.kind.nouns} of {self.name}, which stay on disk, into "
                "memory: choose values=grey or dynamic"
            )
        return found

    def _check_batches(self) -> None:
        if min(self.batch_size, self.eval_batch_size) < 1:
            raise ConfigurationError(
                f"data.batch_size={self.batch_size}, data.eval_batch_size={self.eval_batch_size}: "
                "both must be at least 1"
            )
