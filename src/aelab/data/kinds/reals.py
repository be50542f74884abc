"""Vectors of real numbers, as the rows of a table."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.paths import from_user
from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.core.text import printable
from aelab.data.kinds.base import BLOCK, MSE, SQUARED_ERROR, Bounds, Kind, array_of
from aelab.figures.grids import grid
from aelab.figures.lines import lines
from aelab.models.distributions import values_described


class Reals(Kind):
    """Vectors (D,) of real numbers, stored as float32 in units of their own.

    names: what the D numbers are called in files; None: they have none.
    """

    noun, nouns = "vector", "vectors"
    stored = torch.float32
    suited = "values=standardised or plain"
    quantities = (MSE, SQUARED_ERROR, Quantity("rmse", "error per value", False))
    learns_features = False
    suffixes = frozenset({".npz"})

    def __init__(self, names: Sequence[str] | None = None) -> None:
        self.names = None if names is None else list(names)

    def check(self, shape: tuple[int, ...], bounds: Bounds) -> None:
        if len(shape) != 1 or shape[0] < 1:
            raise ConfigurationError(f"data.shape={list(shape)}: vectors are of [size]; data=npz has images")
        if bounds is not None and not (len(bounds) == 2 and -math.inf < bounds[0] < bounds[1] < math.inf):
            raise ConfigurationError(
                f"data.bounds={bounds} is no bounds: two rising bounds such as [0, 1], or null, would work"
            )
        if self.names is not None and len(self.names) != shape[0]:
            raise ConfigurationError(
                f"data.kind.names names {len(self.names)} numbers, and data.shape is {list(shape)}: name all "
                "of them, or none"
            )

    def measure(self, trace: Trace) -> dict[str, Tensor]:
        """The errors of vectors (D,) in the units that the model sees.

        mse: for each number. squared_error: summed over the vector. rmse: the root of each vector's mse.

        >>> from aelab.core.records import Batch
        >>> from aelab.models.distributions import Gaussian, PointMass
        >>> x, z = torch.full((2, 4), 3.0), torch.zeros(2, 3)
        >>> around_one = Gaussian(torch.ones(1, 2, 4), torch.zeros(()))
        >>> trace = Trace(Batch(x), x, None, PointMass(z), None, z[None], lambda: around_one)
        >>> {name: error[0].item() for name, error in Reals().errors(trace).items()}
        {'mse': 4.0, 'squared_error': 16.0, 'rmse': 2.0}
        """
        squared = (self.back(trace.likelihood).mean(0) - trace.x).double().square().sum(1)
        mse = squared / values_described(trace.likelihood)
        return {"mse": mse, "squared_error": squared, "rmse": mse.sqrt()}

    def drawn(self, rows: Sequence[Tensor], captions: Sequence[str]) -> Image.Image:
        """A curve through the numbers of each vector, on one scale for all, around a line at 0."""
        reach = max(float(row.abs().max()) for row in rows)
        return grid([lines(row, reach) for row in rows], captions)

    def parse(self, given: Any, shape: tuple[int, ...], resize: bool = False) -> Tensor:
        """Numbers (N, D) or (D,) in the units of the stored data, as a tensor, an array or a list."""
        try:
            found = torch.as_tensor(np.asarray(given), dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"vectors are numbers, [N, {shape[0]}], and these are not ({error})") from error
        found = found if found.dim() > 1 else found[None]
        if tuple(found.shape[1:]) != shape or not len(found):
            raise DataError(f"the vectors are {list(found.shape)}, and the model takes [N, {shape[0]}]")
        if not bool(found.isfinite().all()):
            raise DataError("the vectors hold NaN or infinite numbers: leave out, or fill in, these rows")
        return found

    def example(self, count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    def read(
        self, place: str, shape: tuple[int, ...], resize: bool = False
    ) -> tuple[list[str], Iterator[Tensor]]:
        """The array `x` (N, D) of an .npz file, in the data's own units."""
        path = from_user(place)
        given = array_of(path, "x", f"shape (N, {shape[0]})")
        try:
            rows = self.parse(given, shape)
        except DataError as error:
            raise DataError(f"{printable(path)}: {error}") from error
        return [str(place) for place in range(len(rows))], iter(rows.split(BLOCK))

    def write(
        self, folder: Path, blocks: Iterable[Tensor], names: Iterable[str], reserved: Iterable[str] = ()
    ) -> None:
        """One file, vectors.npz, with the array `x` (N, D) and, where they have some, names of `columns`."""
        np.savez(folder / "vectors.npz", **self.arrays(blocks))  # type: ignore[arg-type]

    def arrays(self, blocks: Iterable[Tensor]) -> dict[str, np.ndarray]:
        """Vectors x (N, D) in the data's own units and, where they have some, names of `columns`."""
        named = {} if self.names is None else {"columns": np.array(self.names)}
        return {"x": torch.cat(list(blocks)).numpy()} | named
