"""The data of a run: a source cut into train, validation and test, and the loaders of each."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.data.declared import Declared
from aelab.data.held_out import HeldOut
from aelab.data.kinds import Kind
from aelab.data.kinds.base import Bounds
from aelab.data.labels import Labelled
from aelab.data.loader import EvalLoader, TrainLoader
from aelab.data.normal import Normal
from aelab.data.splits import Observations, Source, Splits, subset
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
    class_names: what figures and tables call them; None: numbers.
    attributes: how many attributes each observation has, checked; None where they are not used.
    attribute_names: what figures and tables call them; None: numbers.
    vocabulary: how many tokens there are, checked; None where observations are no sequences of them.
    validation: how many observations, or which share in (0, 1), are cut from the source's training split;
        None: the validation split that was published with it.
    folds, fold: instead, the equal parts that the source's training split is cut into, and which of them,
        from 0, is validation.
    labelled, labelled_seed, labelled_share: of the training split; see `Labelled`.
    normal, contamination: which training observations pass for normal; see `Normal`.
    seed: the run's, for order and noise. split_seed: which are validation, the same in all runs.

    `position` is the (epoch, batch) at which training begins, set to continue a run.
    After `setup`, `checksums` says what was read, `class_counts` how many observations are of each class, in
    all splits, `notes` what was left aside, and done to the rest, and `train_rows` (N,) which of the source's
    training observations are left for training.
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
        normal: int | Sequence[int] | None = None,
        contamination: float = 0.0,
        class_names: Sequence[str] | None = None,
        vocabulary: int | None = None,
    ) -> None:
        super().__init__()
        if class_names is not None and len(class_names) != classes:
            raise ConfigurationError(
                f"data.class_names={list(class_names)} names {len(class_names)} classes, and data.classes is "
                f"{classes}: name all of them, or none"
            )
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
        self.class_names = list(map(str, class_names or range(classes or 0)))
        self.attributes, self.vocabulary = attributes, vocabulary
        self.attribute_names = list(attribute_names or (f"attribute {i}" for i in range(attributes or 0)))
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.held_out = HeldOut(validation, folds, fold, split_seed)
        self.normal = Normal(normal, contamination, classes)
        self.labelled = Labelled(labelled, labelled_seed, labelled_share, classes)
        self.seed = seed
        self.position = (0, 0)
        self.checksums: dict[str, str] = {}
        self.notes: list[str] = []
        self.class_counts: dict[str, int] = {}
        self.train_rows = torch.empty(0, dtype=torch.long)
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
            str(self.name), self.kind, self.values, self.shape, self.bounds, self.classes, self.attributes,
            self.vocabulary,
        )  # fmt: skip
        splits = self.source.load()
        declared.check(splits)
        published = None if splits.validation is None else self._prepared(splits.validation, "val")
        published = None if published is None else self.normal.keep(published)
        places = self.normal.keep(Observations(torch.arange(len(splits.train)), splits.train.y))
        kept, held_out = self.held_out.cut(places, published, str(self.name), self.kind.nouns)
        whole, self.train_rows = self._prepared(splits.train, "train"), kept.at(slice(None)).x
        train = whole.take(self.train_rows)
        val = whole.take(held_out.at(slice(None)).x) if published is None else published
        self.values.fit(lambda: train.at(slice(None)).x)
        train = self.labelled.hide(train)
        self.labelled.check(train, self.batch_size)
        found = {"train": train, "val": val, "test": self._prepared(splits.test, "test")}
        declared.check_bounds(found)
        self._observations, self.checksums, self.notes = found, splits.checksums, splits.notes
        self.class_counts = self._counted(splits)

    @property
    def counts(self) -> dict[str, int]:
        """The number of observations in each split, after `setup`."""
        return {split: len(found) for split, found in self._observations.items()}

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
        """Batches of the validation split, in its one order of drawing."""
        return self._eval_loader("val")

    def test_dataloader(self) -> EvalLoader:
        """Batches of the test split, in its one order of drawing."""
        return self._eval_loader("test")

    def train_examples(self, count: int) -> Batch:
        """`count` of the training split, the same with the same noise at every call, on every rank."""
        return self._examples("train", count)

    def val_examples(self, count: int) -> Batch:
        """`count` validation observations, the same with the same noise at every call, on every rank."""
        return self._examples("val", count)

    def test_examples(self, count: int) -> Batch:
        """`count` test observations, the same with the same noise at every call, on every rank."""
        return self._examples("test", count)

    def drawn(self, split: str, count: int | None = None) -> Tensor:
        """The places of the `count` observations that stand for "train", "val" or "test", in one fixed order
        at random that no seed of a run moves: (K,) int64; None: of all."""
        return subset(count, len(self.observations(split)))

    def batches(self, split: str, size: int, count: int | None = None) -> EvalLoader:
        """Batches of `size` of what is `drawn` of a split, with the same noise at every call."""
        return EvalLoader(**self._parts(split), batch_size=size, rows=self.drawn(split, count))

    def in_order(self, split: str, size: int) -> EvalLoader:
        """Batches of `size` of a whole split as it lies there, with the same noise at every call."""
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
        rows = self.drawn(split)
        return EvalLoader(**self._parts(split), batch_size=self.eval_batch_size, rows=rows, **self._share())

    def _examples(self, split: str, count: int) -> Batch:
        return next(iter(self.batches(split, count, count)))

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

    def _prepared(self, found: Observations, split: str) -> Observations:
        one = found.x[:1]
        if self.values.prepare(one) is one:
            return found
        if not found.mapped:
            alone = found.at(slice(None))
            return replace(alone, x=self.values.prepare(alone.x, split))
        raise ConfigurationError(
            f"data.values would copy all {self.kind.nouns} of {self.name}, which stay on disk, into "
            "memory: choose values=grey or dynamic"
        )

    def _counted(self, splits: Splits) -> dict[str, int]:
        """How many labels of each class the source knows."""
        every = [part.y for part in (splits.train, splits.validation, splits.test) if part is not None]
        known = [y for y in every if y is not None]
        if not self.class_names or not known:
            return {}
        labels = torch.cat(known)
        counts = torch.bincount(labels[labels >= 0], minlength=len(self.class_names)).tolist()
        return dict(zip(self.class_names, counts, strict=False))

    def _check_batches(self) -> None:
        if min(self.batch_size, self.eval_batch_size) < 1:
            raise ConfigurationError(
                f"data.batch_size={self.batch_size}, data.eval_batch_size={self.eval_batch_size}: "
                "both must be at least 1"
            )
