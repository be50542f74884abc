"""The evidence by importance sampling: an estimate from below, whose bias falls with the number of codes."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from aelab.evidence import log_weights
from aelab.records import Trace


def log_evidence(passes: Iterable[Trace]) -> tuple[Tensor, Tensor]:
    """log p(x) in nats and the effective number of codes, both (B,) float64, from passes of the same batch.

    log p(x) ~ log mean w (Burda et al. 2016); effective number: (sum w)^2 / sum w^2 (Kong 1992). The weights
    are summed as logarithms in float64, so any number of codes can be dealt out to any number of passes.
    """
    first = second = torch.tensor(-math.inf, dtype=torch.float64)
    count = 0
    for trace in passes:
        log_w = log_weights(trace).double()
        first = torch.logaddexp(first.to(log_w.device), log_w.logsumexp(0))
        second = torch.logaddexp(second.to(log_w.device), (2 * log_w).logsumexp(0))
        count += len(log_w)
    return first - math.log(count), (2 * first - second).exp()
