"""What a trained model is for, beyond codes and samples."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from aelab.core.checks import at_least
from aelab.core.errors import DataError, InapplicableError
from aelab.core.records import Batch
from aelab.core.seeds import drawn_from
from aelab.data.kinds import Kind
from aelab.data.values import Values, valued
from aelab.jobs.anomaly import NegativeElbo, ReconstructionError, Reference, Score, error_map
from aelab.jobs.augmentation import Augmentation, Posteriors
from aelab.jobs.bits_back import BitsBack
from aelab.jobs.compressed_file import Compressed, Track, opened, packed, unpacked
from aelab.jobs.degradation import Degradation, Degraded
from aelab.jobs.lossy import Grid, Lossy
from aelab.jobs.restoration import MostProbable, OnePass, Restoration, Restored
from aelab.models import Autoencoder
from aelab.models.conditions import Labels, Numbers, numbered
from aelab.runs.folder import Run

if TYPE_CHECKING:
    from aelab.data.module import DataModule

BLOCK = 500  # observations that pass at once, whatever their number


class Jobs(ABC):
    """The jobs of a trained model; `aelab.runs.trained.Trained` is it."""

    model: Autoencoder
    run: Run
    shape: tuple[int, ...]
    values: Values
    kind: Kind
    device: torch.device
    class_names: tuple[str, ...]

    @abstractmethod
    def seen(self, x: Any, resize: bool = False) -> Tensor:
        """Observations as the model sees them."""

    @abstractmethod
    def _told_of(self, x: Tensor, y: Labels | None, attributes: Numbers | None) -> Batch:
        """Values that the model sees, (N, *shape), with what it is told of each."""

    def _batch(self, x: Any, y: Labels | None, attributes: Numbers | None, resize: bool) -> Batch:
        return self._told_of(self.seen(x, resize), y, attributes)

    def reference(
        self, root: str | None = None, count: int | None = 10_000, background: "Jobs | None" = None
    ) -> Reference:
        """What scores of anomalies are fitted to: `count` of the run's training data, or all of them.

        root: where these lie on this machine. background: another run, for the ratio with it.
        """
        from aelab.runs.data import data_of  # Lightning, which codes and samples do without

        parts = split_of(data_of(self.run, root), "train", count, self.device)
        return Reference(self.model, list(parts), None if background is None else background.model)

    @torch.no_grad()
    def anomaly(
        self,
        x: Any,
        score: Score | None = None,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        resize: bool = False,
        seed: int | None = 0,
    ) -> Tensor:
        """How unlike the training data each observation is, (N,) float64: the higher, the less alike.

        score: fitted to a `reference`; None: the negative bound in nats, or the reconstruction's squared
        error of a model without a prior, or that critics alone trained.
        """
        if score is None:
            bounded = self.model.prior is not None and self.model.fitted
            score = NegativeElbo() if bounded else ReconstructionError()
            score.fit(Reference(self.model))
        batch = self._batch(x, y, attributes, resize)
        with drawn_from(seed, self.device):
            return torch.cat([score(part).cpu() for part in blocks(batch, self.device)])

    @torch.no_grad()
    def error_map(
        self, x: Any, y: Labels | None = None, attributes: Numbers | None = None, resize: bool = False
    ) -> Tensor:
        """The squared error of each value that comes back, (N, *shape), in the model's units."""
        batch = self._batch(x, y, attributes, resize)
        return torch.cat([error_map(self.model, part).cpu() for part in blocks(batch, self.device)])

    def degrade(
        self, x: Any, degradation: Degradation, resize: bool = False, seed: int | None = 0
    ) -> Degraded:
        """What a degradation leaves of observations, in the model's units."""
        with drawn_from(seed, torch.device("cpu")):
            return degradation(self.seen(x, resize))

    def degraded(self, x: Any, degradation: Degradation) -> Degraded:
        """Observations that are what a degradation has left, in the model's units."""
        degradation.check(self.shape)
        y = valued(self.kind.parse(x, degradation.left(self.shape)), self.values)
        return degradation.of(y, self.shape)

    @torch.no_grad()
    def restore(
        self,
        x: Any,
        degradation: Degradation,
        way: Restoration | None = None,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        seed: int | None = 0,
    ) -> Restored:
        """Observations as they were before a degradation, and how uncertain each value is.

        x: what is left of them, as `degrade` gives it or as a user has it. way: None is that to the most
        probable code, or one pass of a model without a prior. Means are in the user's units, deviations in
        the model's.
        """
        left = x if isinstance(x, Degraded) else self.degraded(x, degradation)
        if way is None:
            way = OnePass() if self.model.prior is None else MostProbable()
        told, found = self._told_of(left.shown, y, attributes), []
        with drawn_from(seed, self.device):
            for start in range(0, len(left.y), BLOCK):
                part = slice(start, start + BLOCK)
                batch = told.map(lambda value, part=part: value[part].to(self.device))  # type: ignore[misc]
                found.append(way(self.model, left.at(part, self.device), batch))
        means, deviations = (
            torch.cat([getattr(each, name).cpu() for each in found]) for name in ("mean", "deviation")
        )
        return Restored(self.values.restore(means), deviations)

    @torch.no_grad()
    def augment(
        self, x: Any, y: Labels, way: Augmentation | None = None, per_class: int = 100, seed: int | None = 0
    ) -> tuple[Tensor, Tensor]:
        """`per_class` new observations of each class among labelled ones, (M, *shape), and their labels (M,).

        y: the label of each of x. way: None draws codes of their posteriors. Pixels are read as grey levels,
        also where the run binarised them.
        """
        at_least(1, per_class=per_class)
        parsed, labels = self.kind.parse(x, self.shape), torch.as_tensor(numbered(y, self.class_names))
        seen = parsed.float() / 255 if parsed.dtype == torch.uint8 else valued(parsed, self.values)
        if labels.shape != (len(seen),) or labels.is_floating_point():
            raise DataError(f"y holds {list(labels.shape)} labels: a whole number for each of {len(seen)}")
        told = self.model.conditioner is not None and self.model.conditioner.field == "y"
        way, found = way or Posteriors(), []
        with drawn_from(seed, self.device):
            for label in labels.unique():
                known = self._told_of(seen[labels == label], label if told else None, None)
                known = known.map(lambda value: value.to(self.device))
                for start in range(0, per_class, BLOCK):
                    count = min(BLOCK, per_class - start)
                    found.append(way(self.model, known, count, self.kind.back).cpu())
        return self.values.restore(torch.cat(found)), labels.unique().repeat_interleave(per_class)

    def compress(
        self,
        x: Any,
        codes: int = 1,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        notes: Mapping[str, Any] | None = None,
        track: Track = iter,
    ) -> bytes:
        """Images without loss as the content of a file, about as long as the model's bound of `codes` codes.

        y, attributes: the same for all. notes: what the file holds beside the images. track: shows progress.
        """
        at_least(1, codes=codes)
        levels = self.levels(self.kind.parse(x, self.shape))
        coder = BitsBack(self.model, self.shape, self.count_of_levels(), codes)
        told = coder.told(self._told_of(torch.from_numpy(levels).float(), y, attributes))
        return packed(coder, levels, told, _said(y=y, attributes=attributes, **(notes or {})), track)

    @torch.no_grad()
    def lossy(
        self,
        x: Any,
        step: float | None = None,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        notes: Mapping[str, Any] | None = None,
        track: Track = iter,
        root: str | None = None,
        count: int = 10_000,
    ) -> bytes:
        """Observations as the content of a file of their codes alone, which `decompress` decodes.

        step: of the grid that real codes are rounded to, in root mean square deviations of training codes;
            None: the model's codebook. root, count: of the training data, as in `reference`.
        y, attributes, notes, track: as in `compress`.
        """
        grid = None if step is None else Grid.fitted(self.reference(root, count).codes, step)
        coder = Lossy(self.model, self.shape, grid)
        batch = self._told_of(self.seen(x), y, attributes)
        told = coder.told(batch)
        said = _said(y=y, attributes=attributes, **coder.notes, **(notes or {}))
        return packed(coder, coder.whole(batch.x, told), told, said, track)

    def decompress(self, content: bytes, name: str = "the file", track: Track = iter) -> Tensor:
        """The images that `compress` was given, (N, *shape), uint8, or what codes of `lossy` are decoded to,
        float32 in the user's units; DataError for a file that does not give them."""
        file = opened(content, name)
        coder = self._coder(file)
        empty = torch.zeros(file.count, *self.shape)
        told = coder.told(self._told_of(empty, file.notes.get("y"), file.notes.get("attributes")))
        found = unpacked(coder, file, told, name, track)
        if isinstance(coder, Lossy):
            return self.values.restore(coder.shown(found, told, self.kind.back))
        return torch.from_numpy(found * (255 // (file.levels - 1)))

    def _coder(self, file: Compressed) -> BitsBack | Lossy:
        if file.codes:
            return BitsBack(self.model, self.shape, file.levels, file.codes)
        grid = file.notes.get("grid")
        return Lossy(self.model, self.shape, None if grid is None else Grid(**grid))

    def count_of_levels(self) -> int:
        """How many levels a value has, of data without loss."""
        if self.values.stored != torch.uint8:
            raise InapplicableError("real numbers have no levels, and nothing is coded of them without loss")
        return 2 if self.values.binary or self.model.likelihood.binary else 256

    def levels(self, given: Tensor) -> np.ndarray:
        """Levels from 0, uint8, of pixels or of floats that stand for pixels."""
        count = self.count_of_levels()
        pixels = given.double() if given.dtype == torch.uint8 else given.double() * 255
        if not torch.allclose(pixels, pixels.round(), rtol=0, atol=1e-3):
            raise DataError(f"{self.kind.nouns} have levels between the 256 of a pixel: give pixels")
        levels = pixels.round() * ((count - 1) / 255)
        if bool((levels != levels.round()).any()):
            raise DataError(
                f"the model is of black and white, and the {self.kind.nouns} are grey: make "
                "their pixels 0 or 255, as (x > 127) * 255 does"
            )
        return levels.to(torch.uint8).numpy()


def _said(**notes: Any) -> dict[str, Any]:
    return {name: value for name, value in notes.items() if value is not None}


def blocks(batch: Batch, device: torch.device, size: int = BLOCK) -> Iterator[Batch]:
    """A batch in parts of `size`, on a device."""
    for start in range(0, len(batch.x), size):
        yield batch.map(lambda value, start=start: value[start : start + size].to(device))  # type: ignore[misc]


def split_of(data: "DataModule", split: str, count: int | None, device: torch.device) -> Iterator[Batch]:
    """`count` of a split, as its data module draws them, in blocks on a device; all if None."""
    return (batch.map(lambda value: value.to(device)) for batch in data.batches(split, BLOCK, count))
