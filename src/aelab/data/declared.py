"""What the configuration says of data, and whether a source's are that."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Generator

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.text import sizes
from aelab.data.kinds import Kind
from aelab.data.kinds.base import Bounds
from aelab.data.splits import Observations, Splits
from aelab.data.values import Values


@dataclass(frozen=True)
class Declared:
    """The arguments of a `DataModule` that a source can contradict.

    Raises ConfigurationError where they contradict each other.
    """

    name: str
    kind: Kind
    values: Values
    shape: tuple[int, ...]
    bounds: Bounds
    classes: int | None
    attributes: int | None
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        self.kind.check(self.shape, self.bounds)
        if self.values.stored != self.kind.stored:
            raise ConfigurationError(
                f"data.values={type(self.values).__name__.lower()} is not for {self.kind.nouns}, which "
                f"{self.name} holds: {self.kind.suited} would work"
            )

    def check(self, splits: Splits) -> None:
        """DataError where a split is empty, or is not what was declared."""
        parts = {"training": splits.train, "validation": splits.validation, "test": splits.test}
        for part, found in parts.items():
            if found is not None:
                where = f"{self.name}, {part} split"
                self._check_shape(found, where)
                _check_labels(found, self.classes, where)
                _check_attributes(found, self.kind, self.attributes, where)
                _check_tokens(found, self.vocabulary, where)

    def check_bounds(self, splits: Mapping[str, Observations]) -> None:
        """DataError where real values lie outside the bounds; grey levels never do."""
        if self.bounds is None or not self.kind.stored.is_floating_point:
            return
        for split, found in splits.items():
            values = self.values(found.at(slice(None)).x, Generator(found.x.device))
            low, high = (float(end) for end in values.aminmax())
            if not (self.bounds[0] <= low and high <= self.bounds[1]):
                raise DataError(
                    f"{self.name}, {split} split: values are {low:g} to {high:g}, data.bounds says "
                    f"{list(self.bounds)}; data.bounds=null would work"
                )

    def _check_shape(self, found: Observations, where: str) -> None:
        nouns, shape = self.kind.nouns, tuple(found.x.shape[1:])
        if len(found) == 0:
            raise DataError(f"{where}: holds no {nouns}; at least one is needed")
        if shape != self.shape:
            raise DataError(
                f"{where}: {nouns} are {sizes(shape)}, data.shape says {sizes(self.shape)}; "
                f"data.shape={list(shape)} would work"
            )
        if found.x.dtype != self.kind.stored:
            raise DataError(f"{where}: holds {found.x.dtype}, and {nouns} are stored as {self.kind.stored}")


def _check_labels(found: Observations, classes: int | None, where: str) -> None:
    if classes is None:
        return
    if found.y is None:
        raise DataError(f"{where}: has no labels, data.classes says {classes}; data.classes=null would work")
    low, high = int(found.y.min()), int(found.y.max())
    if low < -1 or high >= classes:
        raise DataError(
            f"{where}: labels are {low} to {high}, data.classes={classes} allows 0 to {classes - 1}, and -1 "
            f"where one is unknown; labels from 0 and data.classes={high + 1} would work"
        )


def _check_attributes(found: Observations, kind: Kind, declared: int | None, where: str) -> None:
    if declared is None:
        return
    if found.attributes is None:
        raise DataError(
            f"{where}: has no attributes, data.attributes says {declared}; data.attributes=null would work"
        )
    count = found.attributes.shape[1]
    if count != declared:
        raise DataError(
            f"{where}: {kind.nouns} have {count} attributes, data.attributes says {declared}; "
            f"data.attributes={count} would work"
        )
    low, high = found.attributes.aminmax()
    if not (low >= 0 and high <= 1):  # false for NaN as well
        raise DataError(f"{where}: attributes are {low:g} to {high:g}; scale them to 0 to 1")


def _check_tokens(found: Observations, vocabulary: int | None, where: str) -> None:
    if vocabulary is None:
        return
    low, high = int(found.x.min()), int(found.x.max())
    if low < 0 or high >= vocabulary:
        raise DataError(
            f"{where}: tokens are {low} to {high}, and data.vocabulary={vocabulary} allows 0 to "
            f"{vocabulary - 1}; data.vocabulary={high + 1} would work"
        )
