"""The evidence by importance sampling: an estimate from below, whose bias falls with the number of codes."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.core.records import Batch, Trace
from aelab.models import Autoencoder
from aelab.models.evidence import has_weights, log_weights, proposed

NLL = Quantity("nll", "nats per observation", False, of_likelihood=True)
NLL_STANDARD_ERROR = Quantity("nll_standard_error", "nats per observation")
NLL_BITS_PER_DIM = Quantity("nll_bits_per_dim", "bits per value", False, of_likelihood=True)
NLL_EFFECTIVE_SAMPLES = Quantity("nll_effective_samples", "codes")

IMAGES, CODES = 16, 500  # drawn at once, whatever the memory: the noise does not depend on it
NO_BOUND = "without a prior and a posterior with a density there is no evidence lower bound"
BYTES_PER_NUMBER = 32  # of the decoder's widest layer: a handful of float32 tensors of that size
# On a CPU what a pass decodes should stay in the cache: three times as fast as with 50 MB.
MEMORY = {"cpu": 8e6}
MEMORY_ELSEWHERE = 1e9


def codes_that_count(model: Autoencoder, samples: int) -> int:
    """How many of `samples` codes can change an estimate: one where a decoder reads none that is drawn from
    the prior, as a language model's."""
    alike = model.posterior is None and not getattr(model.decoder, "reads_codes", True)
    return 1 if alike else samples


def importance_sampled(
    model: Autoencoder, batch: Batch, samples: int, memory: float | None = None, step: int = 0
) -> tuple[Tensor, Tensor]:
    """The evidence log p(x|c) in nats and the effective number of codes of each observation, both (B,)
    float64.

    samples: codes for each observation. memory: bytes that decoded codes may take at once; None: what is fast
    on the device. Neither the memory nor how a batch is cut into multiples of 16 rows changes the estimate
    by more than rounding; the noise is that of torch's default generators.
    Raises InapplicableError for a model whose posterior has no density, or without a prior.
    """
    samples = codes_that_count(model, samples)
    rows = (slice(start, start + IMAGES) for start in range(0, len(batch.x), IMAGES))
    parts = [batch.map(lambda value, part=part: value[part]) for part in rows]  # type: ignore[misc]
    estimates = [log_evidence(_passes(model, part, samples, memory, step)) for part in parts]
    log_p, effective = zip(*estimates, strict=True)
    return torch.cat(log_p), torch.cat(effective)


def log_evidence(passes: Iterable[Trace]) -> tuple[Tensor, Tensor]:
    """The evidence log p(x) in nats and the effective number of codes, both (B,) float64, from passes of the
    same batch.

    log p(x) ~ log mean w (Burda et al. 2016, https://arxiv.org/abs/1509.00519); effective number:
    (sum w)^2 / sum w^2 (Kong, Liu and Wong 1994, https://doi.org/10.1080/01621459.1994.10476469). The weights
    are summed as logarithms in float64, so any number of codes can be dealt out to any number of passes.

    >>> from aelab.models.distributions import Bernoulli, Gaussian, StandardGaussian
    >>> x, z = torch.ones(1, 4), torch.zeros(1, 3)
    >>> q, p, coins = Gaussian(z, z), StandardGaussian(z[0]), Bernoulli(torch.zeros(7, 1, 4))
    >>> log_evidence([Trace(Batch(x), x, None, q, p, z.expand(7, 1, 3), lambda: coins)])
    (tensor([-2.7726], dtype=torch.float64), tensor([7.0000], dtype=torch.float64))
    """
    first = second = torch.tensor(-math.inf, dtype=torch.float64)
    count = 0
    for trace in passes:
        log_w = log_weights(trace).double()
        first = torch.logaddexp(first.to(log_w.device), log_w.logsumexp(0))
        second = torch.logaddexp(second.to(log_w.device), (2 * log_w).logsumexp(0))
        count += len(log_w)
    return first - math.log(count), (2 * first - second).exp()


def _passes(
    model: Autoencoder, batch: Batch, samples: int, memory: float | None, step: int
) -> Iterator[Trace]:
    """Codes of one and the same posterior: x is encoded once."""
    encoded = model(batch, step=step)
    if not has_weights(encoded):
        raise InapplicableError(NO_BOUND)
    if memory is None:
        memory = MEMORY.get(batch.x.device.type, MEMORY_ELSEWHERE)
    at_once = max(1, int(memory / (BYTES_PER_NUMBER * _widest(model, encoded))))
    for start in range(0, samples, CODES):
        z, log_q = proposed(encoded.posterior, encoded.prior, min(CODES, samples - start), len(batch.x))
        decoded = _Decoded(model, encoded, z, at_once)
        yield replace(encoded, z=z, log_q=log_q, decode=lambda decoded=decoded: decoded)


def _widest(model: Autoencoder, encoded: Trace) -> int:
    """The most numbers that a layer gives for one code of each observation, of the decoder or of a likelihood
    that reads earlier places."""
    sizes: list[int] = []

    def measure(layer: nn.Module, given: tuple[Tensor, ...], output: Any) -> None:
        # A recurrent network also gives its last state, which is smaller, and a likelihood a distribution.
        first = output[0] if isinstance(output, tuple) else output
        sizes.append(first.numel() if isinstance(first, Tensor) else 0)

    layers = [*model.decoder.modules(), *model.likelihood.modules()]
    hooks = [layer.register_forward_hook(measure) for layer in layers]
    try:
        model.likelihood_of(encoded.x, encoded.z[:1], encoded.context).log_prob(encoded.x)
    finally:
        for hook in hooks:
            hook.remove()
    return max(sizes)


@dataclass(frozen=True)
class _Decoded:
    """p(x|z,c) of many codes, of which a few are decoded at a time."""

    model: Autoencoder
    trace: Trace
    z: Tensor
    at_once: int

    def log_prob(self, x: Tensor) -> Tensor:
        context = self.trace.context
        parts = (self.model.likelihood_of(x, z, context) for z in self.z.split(self.at_once))
        return torch.cat([likelihood.log_prob(x) for likelihood in parts])
