"""Causal convolutions over maps, whose places follow one another row by row."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.models.networks.causal import Causal


class PixelCNN(Causal):
    """Residual convolutions over a map, each of which sees the rows above, and in its own row the places
    before it (van den Oord et al. 2016, https://arxiv.org/abs/1606.05328)."""

    def __init__(self, width: int, grid: tuple[int, ...], layers: int = 4, kernel: int = 5) -> None:
        super().__init__()
        if kernel < 3 or kernel % 2 == 0:
            raise ConfigurationError(
                f"network.kernel={kernel}: that of a PixelCNN has a place in its middle, so choose an odd "
                "number, 3 at least"
            )
        if len(grid) != 2:
            raise ConfigurationError(
                f"a PixelCNN reads maps of rows and columns, and these are {list(grid)}: as a prior choose "
                "network=conv with model.encoder.flat=false, or prior=recurrent; as a likelihood data of "
                "images, or likelihood=gaussian"
            )
        self.grid = grid
        self.layers = nn.ModuleList(_Gated(width, kernel) for _ in range(layers))

    def forward(self, inputs: Tensor) -> Tensor:
        # What stands at a place is of the place before it, the last of the row above at a row's beginning.
        above = here = inputs.transpose(1, 2).unflatten(-1, self.grid)
        for layer in self.layers:
            above, here = layer(above, here)
        return here.flatten(2).transpose(1, 2)

    def step(self, inputs: Tensor, state: "_Rows | None") -> tuple[Tensor, "_Rows"]:
        """The rows above are read once for a row, and of its own row a layer keeps as much as it sees."""
        here = inputs.transpose(1, 2).unsqueeze(2)
        rows = _Rows(list(self.layers), here, self.grid[1]) if state is None else state  # type: ignore[arg-type]
        return rows.step(here).flatten(2).transpose(1, 2), rows


class _Gated(nn.Module):
    """Two stacks: of the rows above and this one's rest, which has no blind spot, and of the row so far."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.reach = kernel // 2
        self.above = nn.Conv2d(width, 2 * width, (self.reach + 1, kernel))
        self.row = nn.Conv2d(width, 2 * width, (1, self.reach + 1))
        self.joined = nn.Conv2d(2 * width, 2 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, above: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
        # Of row r the rows up to r - 1: this one's own places to the right are of values yet to come.
        rows = self.rows(F.pad(above, (0, 0, self.reach + 1, 0))[:, :, :-1])
        return above + F.glu(rows, 1), self.along(F.pad(here, (self.reach, 0)), self.joined(rows))

    def rows(self, above: Tensor) -> Tensor:
        """What is made of each `reach` + 1 rows that follow one another: (N, width, R + reach, W) -> R."""
        return self.above(F.pad(above, (self.reach, self.reach)))

    def along(self, seen: Tensor, joined: Tensor) -> Tensor:
        """The row so far, `seen` with `reach` places in front, beside what the rows above add to it."""
        return seen[..., self.reach :] + self.out(F.glu(self.row(seen) + joined, 1))


class _Rows:
    """What a walk over a map keeps, of each layer: the last rows above, what it made of them for this row,
    and the last places of this row."""

    def __init__(self, layers: list[_Gated], like: Tensor, columns: int) -> None:
        self.layers, self.columns = layers, columns
        empty = like.new_zeros(*like.shape[:3], columns)
        self.above = [empty.expand(-1, -1, layer.reach + 1, -1) for layer in layers]
        self.read = [layer.rows(above) for layer, above in zip(layers, self.above, strict=True)]
        self._begin(like)

    def step(self, here: Tensor) -> Tensor:
        """The next place, (N, width, 1, 1) -> the same of the last layer."""
        if len(self.row) == self.columns:
            self._end()
            self._begin(here)
        place = len(self.row)
        self.row.append(here)
        for i, layer in enumerate(self.layers):
            seen = torch.cat([self.here[i], here], -1)
            here = layer.along(seen, self.joined[i][..., place : place + 1])
            self.here[i] = seen[..., 1:]
        return here

    def _begin(self, like: Tensor) -> None:
        self.row: list[Tensor] = []
        self.joined = [layer.joined(read) for layer, read in zip(self.layers, self.read, strict=True)]
        self.here = [like.new_zeros(*like.shape[:3], layer.reach) for layer in self.layers]

    def _end(self) -> None:
        made = torch.cat(self.row, -1)
        for i, layer in enumerate(self.layers):
            self.above[i] = torch.cat([self.above[i][:, :, 1:], made], 2)
            made = made + F.glu(self.read[i], 1)
            self.read[i] = layer.rows(self.above[i])
