"""What a token of a sequence costs: nats of whole sequences over the number of their tokens."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from numpy import ndarray
from torch import Tensor

from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.metrics.estimand import Estimand
from aelab.models.distributions import Autoregressive
from aelab.models.distributions.sequences import lengths

NATS_PER_TOKEN = Quantity("nats_per_token", "nats per token", False)
TOKEN_PERPLEXITY = Quantity("token_perplexity", "tokens", False)
NLL_NATS_PER_TOKEN = Quantity("nll_nats_per_token", "nats per token", False)

T = TypeVar("T", Tensor, ndarray)


def tokens_of(trace: Trace) -> Tensor | None:
    """How many tokens each observation has, its end included: (B,); None where it is no sequence of them."""
    return lengths(trace.x).double() if isinstance(trace.likelihood, Autoregressive) else None


class PerToken(Estimand):
    """nats_per_token: what all sequences cost together over all their tokens, by the negative bound where
    there is one, else the negative log-likelihood; so long ones count for more, as in language modelling.
    token_perplexity: its exponential, among how many tokens alike it is a choice."""

    nats: Tensor

    def __init__(self, evidence: Callable[[Trace], Mapping[str, Tensor]]) -> None:
        super().__init__([NATS_PER_TOKEN, TOKEN_PERPLEXITY], nats=())
        self.evidence = evidence

    def update(self, trace: Trace) -> None:
        tokens = tokens_of(trace)
        if tokens is not None:
            self.count += tokens.sum()
            self.nats += cost(self.evidence(trace)).sum()

    def compute(self) -> dict[str, Tensor]:
        if not self.count:
            return {}
        each = self.nats / self.count
        return {"nats_per_token": each, "token_perplexity": each.exp()}


def cost(evidence: Mapping[str, T]) -> T:
    """What each observation costs in nats, (B,): by the bound where there is one, else by its distortion."""
    return -evidence["elbo"] if "elbo" in evidence else evidence["distortion"]
