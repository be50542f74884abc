"""Counts of genes in cells, drawn from known types and programmes: no network, no files."""

import numpy as np
import torch

from aelab.core.checks import at_least
from aelab.data.splits import Observations, Splits, checksum, cut

TYPES, PROGRAMMES = 5, 2


class Cells:
    """Cells of five types, in whose genes two programmes run more or less, as single-cell experiments count
    them: with a depth of the cell's own, more spread than a Poisson variable has, and some counts lost.

    y: the type. count: of all cells. genes: counted in each. dispersion: θ of the negative binomial
    variables. lost: the share of the counts that are 0 instead. test: how many cells, or which share, are the
    test split.
    """

    def __init__(
        self,
        count: int = 5000,
        genes: int = 60,
        dispersion: float = 2.0,
        lost: float = 0.1,
        test: int | float = 1000,
    ) -> None:
        at_least(2, count=count, genes=genes)
        self.count, self.genes, self.dispersion, self.lost, self.test = count, genes, dispersion, lost, test

    def prepare(self) -> None:
        """Nothing to do: they are drawn."""

    def load(self) -> Splits:
        """Draw them, the same in all runs."""
        # numpy freezes RandomState's stream for all versions, which neither torch nor default_rng promises.
        random = np.random.RandomState(0)
        profiles = random.standard_normal((TYPES, self.genes))
        programmes = 0.5 * random.standard_normal((PROGRAMMES, self.genes))
        types = random.randint(TYPES, size=self.count)
        active, depth = (
            random.standard_normal((self.count, PROGRAMMES)),
            random.standard_normal((self.count, 1)),
        )
        mean = np.exp(profiles[types] + active @ programmes + 0.4 * depth + 1)
        counts = random.poisson(random.gamma(self.dispersion, mean / self.dispersion))
        counts[random.random_sample(counts.shape) < self.lost] = 0
        every = Observations(
            torch.from_numpy(counts.astype(np.float32)), torch.from_numpy(types.astype(np.int64))
        )
        size = cut(self.test, self.count, "data.source.test", f"{self.count:,} cells")
        train, test = torch.arange(self.count).split([self.count - size, size])
        return Splits(
            every.take(train), every.take(test), {"counts": checksum(counts.astype("<i8").tobytes())}
        )
