"""The data of a run: a source cut into train, validation and test, and the loaders of each."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.records import Batch
from aelab.data.held_out import HeldOut
from aelab.data.labels import Labelled
from aelab.data.loader import EvalLoader, TrainLoader
from aelab.data.splits import Images, Source, Splits
from aelab.data.values import Binarization, Dynamic

CPU = torch.device("cpu")


class DataModule(LightningDataModule):
    """Images resident on the trainer's device, in three splits that never share one.

    name: what errors and records call the data.
    shape: (C, H, W), checked against the source's.
    classes: labels are in range(classes), checked; None where they are not used.
    batch_size, eval_batch_size: images in one process's batch.
    attributes: how many attributes each image has, checked; None where they are not used.
    attribute_names: what figures and tables call them; None: numbers.
    validation: how many images, or which share in (0, 1), are cut from the source's training images; None:
        the validation split that was published with them.
    folds, fold: instead, the equal parts that the source's training images are cut into, and which of them,
        from 0, is validation.
    labelled, labelled_seed, labelled_share: of the training images; see `Labelled`.
    seed: the run's, for order and noise. split_seed: which images are validation, the same in all runs.

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
        binarization: Binarization,
        seed: int,
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
        self.shape = tuple(shape)
        self.classes = classes
        self.attributes = attributes
        self.attribute_names = list(attribute_names or (f"attribute {i}" for i in range(attributes or 0)))
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.held_out = HeldOut(validation, folds, fold, split_seed)
        self.labelled = Labelled(labelled, labelled_seed, labelled_share, classes)
        self.binarization = binarization
        self.seed = seed
        self.position = (0, 0)
        self.checksums: dict[str, str] = {}
        self._images: dict[str, Images] = {}

    @classmethod
    def at_root(cls, source: Callable[..., Source], root: str | Path | None, **options: Any) -> "DataModule":
        """A module whose `source` is completed with `root`, the place of the user's files."""
        return cls(source=source(root=root), **options)

    def prepare_data(self) -> None:
        """Make the source's files present."""
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Read, check and cut the data, once; DataError or ConfigurationError where they do not fit."""
        if self._images:
            return
        splits = self.source.load()
        self._check(splits)
        published = None if splits.validation is None else self._prepared(splits.validation)
        train, val = self.held_out.cut(self._prepared(splits.train), published, str(self.name))
        train = self.labelled.hide(train)
        self.labelled.check(train, self.batch_size)
        self._images = {"train": train, "val": val, "test": self._prepared(splits.test)}
        self.checksums = splits.checksums

    @property
    def has_labels(self) -> bool:
        """Whether batches carry labels."""
        self.setup()
        return self._images["train"].y is not None

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
        """`count` training images, at random but the same at every call, with the noise of their batch."""
        return self._examples("train", count)

    def val_examples(self, count: int) -> Batch:
        """The first `count` validation images with the same noise at every call, on every rank."""
        return self._examples("val", count)

    def test_examples(self, count: int) -> Batch:
        """The first `count` test images with the same noise at every call, on every rank."""
        return self._examples("test", count)

    def batches(self, split: str, size: int) -> EvalLoader:
        """Batches of `size` of "train", "val" or "test", in order, with the same noise at every call."""
        return EvalLoader(**self._parts(split), batch_size=size)

    def images(self, split: str) -> Images:
        """The pixels of a split, with labels and attributes where they are known."""
        self.setup()
        return self._images[split]

    def known(self, split: str) -> Batch:
        """What is known of all images of a split, without the images: x is empty."""
        images = self.images(split)
        return Batch(images.x[:0], images.y, images.attributes)

    def expected(self) -> "DataModule":
        """The same splits as the means over what binarisation draws: what a model's own means tend to."""
        if not self.binarization.draws_once:
            return self
        twin = copy(self)
        twin.binarization, twin._images = Dynamic(), {}
        return twin

    def with_seed(self, seed: int) -> "DataModule":
        """The same images, shared, in the order and with the noise of another run's seed."""
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
            "images": self._resident(split),
            "values": self.binarization,
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

    def _resident(self, split: str) -> Images:
        self.setup()
        self._images[split] = self._images[split].to(self._device)
        return self._images[split]

    def _prepared(self, images: Images) -> Images:
        if images.rows is None:
            return replace(images, x=self.binarization.prepare(images.x))
        one = images.x[:1]
        if self.binarization.prepare(one) is not one:
            raise ConfigurationError(
                f"data.binarization would copy all images of {self.name}, which stay on disk, into memory: "
                "choose binarization=grey or dynamic"
            )
        return images

    def _check(self, splits: Splits) -> None:
        if min(self.batch_size, self.eval_batch_size) < 1:
            raise ConfigurationError(
                f"data.batch_size={self.batch_size}, data.eval_batch_size={self.eval_batch_size}: "
                "both must be at least 1"
            )
        parts = {"training": splits.train, "validation": splits.validation, "test": splits.test}
        for part, images in parts.items():
            if images is not None:
                where = f"{self.name}, {part} split"
                _check_shape(images, self.shape, where)
                _check_labels(images, self.classes, where)
                _check_attributes(images, self.attributes, where)


def _check_shape(images: Images, declared: tuple[int, ...], where: str) -> None:
    found = tuple(images.x.shape[1:])
    if len(images) == 0:
        raise DataError(f"{where}: holds no images; at least one is needed")
    if found != declared:
        raise DataError(
            f"{where}: images are {_times(found)}, data.shape says {_times(declared)}; "
            f"data.shape={list(found)} would work"
        )


def _check_labels(images: Images, classes: int | None, where: str) -> None:
    if classes is None:
        return
    if images.y is None:
        raise DataError(f"{where}: has no labels, data.classes says {classes}; data.classes=null would work")
    low, high = int(images.y.min()), int(images.y.max())
    if low < -1 or high >= classes:
        raise DataError(
            f"{where}: labels are {low} to {high}, data.classes={classes} allows 0 to {classes - 1}, and -1 "
            "where one is unknown; "
            f"labels from 0 and data.classes={high + 1} would work"
        )


def _check_attributes(images: Images, declared: int | None, where: str) -> None:
    if declared is None:
        return
    if images.attributes is None:
        raise DataError(
            f"{where}: has no attributes, data.attributes says {declared}; data.attributes=null would work"
        )
    found = images.attributes.shape[1]
    if found != declared:
        raise DataError(
            f"{where}: images have {found} attributes, data.attributes says {declared}; "
            f"data.attributes={found} would work"
        )
    low, high = images.attributes.aminmax()
    if not (low >= 0 and high <= 1):  # false for NaN as well
        raise DataError(f"{where}: attributes are {low:g} to {high:g}; scale them to 0 to 1")


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)
