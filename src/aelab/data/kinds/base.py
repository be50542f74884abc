"""The base of the kinds of observations."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.distributions import Distribution

from aelab.core.errors import DataError
from aelab.core.files import why_unread
from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.core.text import printable
from aelab.figures.grids import folded, headed
from aelab.models.distributions import Autoregressive, Columns

MSE = Quantity("mse", "squared error per value", False)
SQUARED_ERROR = Quantity("squared_error", "squared error per observation", False)
BLOCK = 500  # observations that are read at once from a user's files
Bounds = Sequence[float] | None


class Kind(ABC):
    """The kind of an observation, which the parts of the house ask for what differs among kinds.

    noun, nouns: what messages and units call one observation, and several.
    stored: the type in which sources store them.
    suited: the choices of `values` for them.
    quantities: what `errors` measures, the leading one first.
    difference: what `differences` measures.
    learns_features: whether two observations are compared in features that a network learned, and not by
        their values as they are.
    measurable: whether values are amounts, between which there are distances, and to which noise is added.
    in_columns: whether pictures show them in rows and columns, and not line by line.
    audible: whether pictures of them have sounds, as `figures.wav.sound_of` finds them.
    sizes: of rows of a table, how many categories each column has, 0 for numbers; None for other kinds.
    suffixes: of the files that a user has them in.
    """

    noun: ClassVar[str]
    nouns: ClassVar[str]
    stored: ClassVar[torch.dtype]
    suited: ClassVar[str]
    quantities: tuple[Quantity, ...]
    difference: ClassVar[Quantity] = SQUARED_ERROR
    learns_features: ClassVar[bool]
    measurable: ClassVar[bool] = True
    in_columns: ClassVar[bool] = True
    audible: ClassVar[bool] = False
    sizes: list[int] | None = None
    suffixes: ClassVar[frozenset[str]]

    @abstractmethod
    def check(self, shape: tuple[int, ...], bounds: Bounds) -> None:
        """ConfigurationError for a shape, or a bounds of values, that no such observations have."""

    def describes(self, likelihood: Distribution) -> bool:
        """Whether a likelihood is of such observations: by default, of numbers."""
        return not isinstance(likelihood, Autoregressive | Columns)

    def errors(self, trace: Trace) -> dict[str, Tensor]:
        """The errors of what comes back of each observation from its codes: (B,) float64, by quantity.

        Nothing for a model without a posterior, whose codes know nothing of the observations.
        """
        return {} if trace.posterior is None else self.measure(trace)

    @abstractmethod
    def measure(self, trace: Trace) -> dict[str, Tensor]:
        """The same for a model with a posterior."""

    def rounded(self, x: Tensor) -> Tensor:
        """Observations (N, *event) in a user's units as they are written: by default as they are."""
        return x

    def back(self, likelihood: Distribution) -> Tensor:
        """What comes back of each observation from each code, (S, B, *event): here the mean of p(x|z,c)."""
        return likelihood.mean

    def differences(self, x: Tensor, back: Tensor) -> Tensor:
        """How far what came back is from observations (N, *event), as the model sees them: (N,), float64."""
        return (back - x).double().square().flatten(1).sum(1)

    def picture(
        self,
        rows: Sequence[Tensor],
        captions: Sequence[str],
        columns: int | None = None,
        heads: Sequence[str] = (),
        heard: Sequence[Tensor] | None = None,
    ) -> Image.Image:
        """Rows of observations (N, *event), each with its caption on the left.

        columns: fold the rows after so many observations; the captions repeat in each band.
        heads: of the columns of rows that are not folded.
        heard: the rows that sounds are of, where there are sounds; None: all are observations.
        """
        if not self.in_columns:
            return self.drawn(rows, captions)
        shown, told = (rows, captions) if columns is None else folded(rows, captions, columns)
        found = self.drawn(shown, told)
        return self.sounding(headed(found, told, heads) if heads else found, heard or rows)

    def sounding(self, picture: Image.Image, rows: Sequence[Tensor]) -> Image.Image:
        """A picture with what is heard of rows of observations: by default nothing is."""
        return picture

    @abstractmethod
    def drawn(self, rows: Sequence[Tensor], captions: Sequence[str]) -> Image.Image:
        """The picture of rows that are not folded."""

    @abstractmethod
    def parse(self, given: Any, shape: tuple[int, ...], resize: bool = False) -> Tensor:
        """What a user hands over, as `values` take it: (N, *shape).

        resize: fit what is of another size, where that has a meaning.
        Raises DataError for what is no such observation.
        """

    @abstractmethod
    def example(self, count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Values (count, *shape) that observations could have."""

    @abstractmethod
    def read(
        self, place: str, shape: tuple[int, ...], resize: bool = False
    ) -> tuple[list[str], Iterator[Tensor]]:
        """The observations in a user's file or folder: their names, and blocks as `parse` gives them.

        Raises DataError where there are none, or one cannot be read.
        """

    @abstractmethod
    def write(
        self, folder: Path, blocks: Iterable[Tensor], names: Iterable[str], reserved: Iterable[str] = ()
    ) -> None:
        """Blocks of observations in a user's units, as files in a folder.

        names: of them, which may hold anything. reserved: names of files that are no observation's.
        """

    def arrays(self, blocks: Iterable[Tensor]) -> dict[str, np.ndarray]:
        """The same for one .npz file: x (N, *shape), which `read` takes back.

        Raises DataError for what is no array.
        """
        raise DataError(f"an .npz file holds images or vectors, and these are {self.nouns}: give a folder")


def array_of(path: Path, name: str, what: str) -> np.ndarray:
    """An array of a user's .npz file; DataError where it is not there, or cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged bytes
        raise DataError(
            f"{printable(path)} cannot be read ({why_unread(path, error)}): an .npz file with an array "
            f"{name} of {what} is needed"
        ) from error
