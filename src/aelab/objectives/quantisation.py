"""What codebooks cost: how far features lie from their entries, seen from either side."""

import torch
from torch import Tensor

from aelab.cluster.collectives import of_first
from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Scheduled
from aelab.core.seeds import step_seed
from aelab.models import Autoencoder
from aelab.models.distributions import Quantised
from aelab.models.posteriors import Indexed, VectorQuantiser
from aelab.objectives.base import Term


def _quantised(trace: Trace) -> Quantised:
    q = trace.posterior
    if not isinstance(q, Quantised) or not q.asked:
        raise ConfigurationError(
            "a term of a codebook reads the entries of features: choose posterior=vector_quantised, or "
            "objective=elbo, which is all that posterior=finite_scalar needs"
        )
    return q


class Commitment(Term):
    """|e - sg[q]|^2, which draws features to their entries, summed over a code (van den Oord et al. 2017)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        q = _quantised(trace)
        pairs = zip(q.asked, q.chosen, strict=True)
        total = torch.stack([(e - entry.detach()).square().sum() for e, entry in pairs]).sum()
        return total / q.batch_shape.numel()


class Codebook(Term):
    """|sg[e] - q|^2, which draws entries to their features, summed over a code (van den Oord et al. 2017).

    Entries that are moving averages move after each step, and have no gradient. Before that, entries that
    stand for too few features begin anew at features of the batch; which, follows from the seed and the step.

    decay: of the averages, of entries and of how often each is chosen, from step to step.
    least: of the even share, below which an entry begins anew; 0: none does. seed: of these features.
    """

    def __init__(
        self, weight: Scheduled = 1.0, decay: float = 0.99, least: float = 0.05, seed: int = 0
    ) -> None:
        super().__init__(weight)
        if not 0 <= decay < 1 or not 0 <= least < 1:
            raise ConfigurationError(f"decay={decay}, least={least}: choose both in [0, 1)")
        self.decay, self.least, self.seed = decay, least, seed

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        q = _quantised(trace)
        pairs = zip(q.asked, q.chosen, strict=True)
        total = torch.stack([(e.detach() - entry).square().sum() for e, entry in pairs]).sum()
        return total / q.batch_shape.numel()

    def after_step(self, trace: Trace, model: Autoencoder) -> None:
        q, posterior = _quantised(trace), model.posterior
        if not isinstance(posterior, Indexed) or not posterior.training:  # frozen
            return
        quantisers = (each for each in posterior.quantisers if isinstance(each, VectorQuantiser))
        tables = [table for quantiser in quantisers for table in quantiser.tables]
        found = zip(tables, q.asked, posterior.by_table(q.symbols), strict=True)
        for number, (table, asked, symbols) in enumerate(found):
            vectors = asked.detach().flatten(0, 1)
            if self.least:
                table.restart(self._some(vectors, q.codes, number, trace.step), self.least)
            table.follow(vectors, symbols.flatten(), self.decay)

    def _some(self, vectors: Tensor, count: int, number: int, step: int) -> Tensor:
        """So many of the vectors (N, size), again from the first where there are fewer; the same for all
        processes."""
        generator = torch.Generator().manual_seed(step_seed(self.seed, f"restart/{number}", batch=step))
        order = torch.randperm(len(vectors), generator=generator)
        return of_first(vectors[order[torch.arange(count) % len(order)].to(vectors.device)])


class CodeEntropy(Term):
    """H(q(b|e)) - H(q(b)), summed over the bits of a code of signs: each sure of itself, and both signs as
    common (Yu et al. 2024); q(b = 1 | e) = sigmoid(4 e / temperature), of the distances to both signs.

    The entropy over a batch is of each bit alone, which a joint one could only be below.
    """

    def __init__(self, weight: Scheduled = 1.0, temperature: float = 1.0) -> None:
        super().__init__(weight)
        if not temperature > 0:
            raise ConfigurationError(f"temperature={temperature}: above 0")
        self.temperature = temperature

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        bits = (4 / self.temperature * _quantised(trace).asked[0].flatten(1)).sigmoid()
        return (_entropy(bits).mean(0) - _entropy(bits.mean(0))).sum()


def _entropy(p: Tensor) -> Tensor:
    p = p.clamp(1e-6, 1 - 1e-6)
    return -p * p.log() - (1 - p) * (1 - p).log()
