"""The parts of a code, each a Gaussian given those before it."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from aelab.core.errors import InapplicableError
from aelab.jobs.ans_stack import counted
from aelab.models.distributions import Chain, Gaussian

Layer = tuple[slice, Callable[[Tensor], Gaussian]]  # which part of a code, and of what it is drawn


def layers(p: Distribution) -> list[Layer]:
    """A code's parts in the order in which they are drawn; InapplicableError for what is no Gaussian."""
    if isinstance(p, Gaussian) and len(p.event_shape) == 1:
        return [(slice(None), lambda _: p)]
    if isinstance(p, Chain) and isinstance(p.first, Gaussian):
        return list(_chained(p))
    raise InapplicableError(
        f"codes are drawn of {type(p).__name__}, and tables are of Gaussians, chains of them and mixtures: "
        "choose posterior=diagonal_gaussian with prior=standard_normal, gaussian_mixture or vamp"
    )


def _chained(p: Chain) -> Iterator[Layer]:
    ends = np.cumsum([0, *p.sizes])
    parts = [slice(int(a), int(b)) for a, b in pairwise(ends)]
    ordered = parts if p.upwards else parts[::-1]
    first: Gaussian = p.first  # type: ignore[assignment]
    yield ordered[0], lambda z: first if first.batch_shape else widened(first, len(z))
    for before, part, follow in zip(ordered[:-1], ordered[1:], p.following, strict=True):
        yield part, lambda z, before=before, follow=follow: follow(z[:, before])  # type: ignore[misc]


def widened(p: Gaussian, count: int) -> Gaussian:
    """The same Gaussian for each of `count` observations."""
    return Gaussian(p.loc.expand(count, -1), p.log_variance.expand(count, -1))


def components(prior: MixtureSameFamily) -> tuple[np.ndarray, Gaussian]:
    """The table (K,) of a mixture's weights, and its components."""
    every = prior.component_distribution
    if (
        not isinstance(every, Gaussian)
        or len(every.batch_shape) != 1
        or not isinstance(prior.mixture_distribution, Categorical)
    ):
        raise InapplicableError("the prior mixes others than Gaussians alike for all: choose another prior")
    return counted(prior.mixture_distribution.logits.double().numpy()), every
