"""How well the model explains the test images, and what its codes cost."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from aelab.core.checks import at_least
from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.records import Trace
from aelab.evaluation.dimensions import DEAD, ROUNDING, STILL
from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import BLOCK, Subject
from aelab.figures.charts import bars
from aelab.metrics.estimands import BITS_PER_DIM, EVIDENCE, KL, bits_per_dim, narrower_than_grid
from aelab.metrics.estimate import Estimate, bootstrap, mean, ratio
from aelab.metrics.importance import (
    NLL,
    NLL_BITS_PER_DIM,
    NLL_EFFECTIVE_SAMPLES,
    NO_BOUND,
    codes_that_count,
    importance_sampled,
)
from aelab.metrics.rate import MUTUAL_INFORMATION, PARTS, kl_per_dimension, rate_parts
from aelab.metrics.tokens import (
    NATS_PER_TOKEN,
    NLL_NATS_PER_TOKEN,
    TOKEN_PERPLEXITY,
    cost,
    tokens_of,
)
from aelab.metrics.units import ACTIVE, ACTIVE_UNITS
from aelab.models import UNFITTED
from aelab.models.distributions.sequences import lengths

COLLAPSED = 0.1  # nats of a whole code that carries nothing
OWN_SAMPLES = "the posterior knows the density of its own samples alone"
ONE = "one observation has no variance"
REAL = "no number of bits describes the density of real numbers, and tokens are measured in nats"
GREY = "a cross-entropy and no likelihood: the likelihood is of bits, and the values are grey"


@dataclass
class Likelihood:
    """ELBO, importance-sampled NLL, and the rate in parts.

    samples: codes of each image for the NLL, of `images` (None: all).
    codes: for the parts of the rate, under the aggregate posterior of `aggregate` images.
    memory: bytes that decoded codes may take at once; None: what is fast on the device.
    """

    samples: int = 1000
    images: int | None = None
    codes: int = 2000
    aggregate: int | None = None
    memory: float | None = None

    def __post_init__(self) -> None:
        at_least(1, samples=self.samples)
        at_least(2, images=self.images, codes=self.codes, aggregate=self.aggregate)

    def __call__(self, subject: Subject, findings: Findings) -> None:
        self._bound(subject, findings)
        if subject.model.fitted:
            self._scale(subject, findings)
        self._evidence(subject, findings)
        self._parts(subject, findings)
        self._units(subject, findings)

    def _bound(self, subject: Subject, findings: Findings) -> None:
        of_prior = "of codes of the prior" if subject.model.encoder is None else ""
        note = "; ".join(filter(None, [of_prior, _note(next(subject.traces("test", BLOCK)))]))
        for quantity in EVIDENCE:
            if quantity.of_likelihood and not subject.model.fitted:
                findings.undefine("likelihood", [quantity.name], UNFITTED)
            elif (values := subject.measured.get(quantity.name)) is not None:
                findings.add("likelihood", mean(values, quantity, "" if quantity is KL else note))
            else:
                real = quantity is BITS_PER_DIM and "elbo" in subject.measured
                findings.undefine("likelihood", [quantity.name], REAL if real else NO_BOUND)
        if subject.model.fitted and (tokens := _tokens(subject)) is not None:
            nats = cost(subject.measured)
            per_token = ratio(nats, tokens, NATS_PER_TOKEN, note)
            findings.add("likelihood", per_token, _perplexity(per_token))
        if "kl" in subject.measured and subject.measured["kl"].mean() < COLLAPSED:
            findings.alarms["posterior_collapse"] = (
                f"the KL is {subject.measured['kl'].mean():.2g} nats: codes say nothing of their "
                f"{findings.noun}s"
            )

    def _scale(self, subject: Subject, findings: Findings) -> None:
        """An alarm for densities of which values on a grid are no sample."""
        example, grid = next(subject.traces("test", BLOCK)), subject.data.values.bits
        if grid is not None and (share := narrower_than_grid(example.likelihood, grid)):
            findings.alarms["density_narrower_than_grid"] = (
                f"{share:.1%} of the values have a density far narrower than the grid that they lie on: the "
                "bound and the evidence go with its scale to any number, up or down"
            )

    @torch.no_grad()
    def _evidence(self, subject: Subject, findings: Findings) -> None:
        names = [each.name for each in (NLL, NLL_BITS_PER_DIM, NLL_EFFECTIVE_SAMPLES)]
        if not subject.model.fitted:
            findings.undefine("likelihood", names, UNFITTED)
            return
        log_p, effective = [], []
        try:
            for index, batch in subject.batches("test", self.images):
                subject.fix_noise("importance", index)
                found = importance_sampled(subject.model, batch, self.samples, self.memory)
                log_p.append(found[0].cpu())
                effective.append(found[1].cpu())
        except InapplicableError as error:
            findings.undefine("likelihood", names, str(error))
            return
        nll, codes = -torch.cat(log_p), codes_that_count(subject.model, self.samples)
        example = next(subject.traces("test", BLOCK))
        note = "; ".join(
            filter(None, [f"{codes} code{'s' * (codes > 1)} of each {findings.noun}", _note(example)])
        )
        if "elbo" in subject.measured:
            self._contradiction(subject, findings, nll)
        values = {NLL: nll, NLL_EFFECTIVE_SAMPLES: torch.cat(effective)}
        if (bits := subject.data.values.bits) is None:
            findings.undefine("likelihood", [NLL_BITS_PER_DIM.name], REAL)
        else:
            values[NLL_BITS_PER_DIM] = bits_per_dim(nll, example.likelihood, bits)
        findings.add("likelihood", *(mean(found.numpy(), each, note) for each, found in values.items()))
        if (tokens := _tokens(subject)) is not None:
            findings.add("likelihood", ratio(nll.numpy(), tokens[: len(nll)], NLL_NATS_PER_TOKEN, note))

    @staticmethod
    def _contradiction(subject: Subject, findings: Findings, nll: Tensor) -> None:
        """An alarm for a bound further from the evidence than the whole rate and the evidence itself."""
        if "elbo" not in subject.measured:
            return
        elbo, kl = (float(subject.measured[name][: len(nll)].mean()) for name in ("elbo", "kl"))
        evidence = -float(nll.mean())
        if evidence - elbo > kl + abs(evidence):
            findings.alarms["bound_far_below_evidence"] = (
                f"of the same {findings.noun}s the bound is {elbo:.4g} nats and the evidence {evidence:.4g}, "
                f"beside a KL of {kl:.3g}: for some codes the decoder is far off"
            )

    @torch.no_grad()
    def _parts(self, subject: Subject, findings: Findings) -> None:
        names = [quantity.name for quantity in PARTS]
        try:
            parts = rate_parts(lambda: subject.traces("test", self.aggregate, "aggregate"), self.codes)
        except InapplicableError as error:
            findings.undefine("likelihood", names, str(error))
            return
        except ConfigurationError:
            findings.undefine("likelihood", names, OWN_SAMPLES)
            return
        every = len(subject.data.observations("test"))
        count = every if self.aggregate is None else min(every, self.aggregate)
        note = f"under the aggregate posterior of {count} {findings.noun}s, at most {np.log(count):.1f} nats"
        for quantity in PARTS:
            if (values := parts.get(quantity.name)) is not None:
                told = note if quantity is MUTUAL_INFORMATION else ""
                findings.add("likelihood", mean(values.cpu().numpy(), quantity, told))
        findings.undefine(
            "likelihood",
            [name for name in names if name not in parts],
            "the posterior's marginals or the prior's factors are not at hand",
        )

    @torch.no_grad()
    def _units(self, subject: Subject, findings: Findings) -> None:
        try:
            means = subject.activity("test")
        except InapplicableError as error:
            findings.undefine("likelihood", ["active_units", "kl_per_dimension"], str(error))
            return
        if len(means) < 2:
            findings.undefine("likelihood", ["active_units", "kl_per_dimension"], ONE)
            return
        findings.add("likelihood", _active(means))
        variance = means.var(0)
        dead = variance < max(STILL * variance.max(), ROUNDING)
        carried = f"vary less than {STILL} of the one that varies most"
        columns = {"variance_of_mean": variance}
        noun = "latent dimensions" if subject.model.codes is None else "codebook entries"
        try:
            traces = subject.traces("test", self.aggregate, "units")
            rates = torch.cat([kl_per_dimension(trace) for trace in traces]).cpu().numpy()
        except InapplicableError as error:
            findings.undefine("likelihood", ["kl_per_dimension"], str(error))
        else:
            kl, error_of_kl = rates.mean(0), rates.std(0, ddof=1) / len(rates) ** 0.5
            dead, carried = kl < DEAD, f"carry less than {DEAD} nats"
            columns |= {"kl": kl, "standard_error": error_of_kl}
            order = subject.dimensions.order
            chart = bars(
                kl[order], error_of_kl[order], title="KL of each latent dimension",
                xlabel="latent dimension", ylabel="KL, nats", ticks=[str(i) for i in order],
            )  # fmt: skip
            findings.figure("kl_per_dimension", chart)
        if dead.any():
            findings.alarms["dead_codes"] = f"{dead.sum()} of {len(dead)} {noun} {carried}"
        rows = ([i, *(f"{column[i]:.6g}" for column in columns.values())] for i in range(len(variance)))
        findings.table("latent_dimensions", ["dimension", *columns], rows)


def _tokens(subject: Subject) -> np.ndarray | None:
    """How many tokens each test observation has, (N,); None where they are no sequences of them."""
    if tokens_of(next(subject.traces("test", 1))) is None:
        return None
    return torch.cat([lengths(batch.x).cpu() for _, batch in subject.batches("test")]).double().numpy()


def _perplexity(nats: Estimate) -> Estimate:
    """The exponential of nats per token, and its error by the delta method."""
    value = float(np.exp(nats.value))
    error = None if nats.error is None else value * nats.error
    return replace(nats, value=value, error=error, quantity=TOKEN_PERPLEXITY)


def _active(means: np.ndarray) -> Estimate:
    """The units in use, as `metrics.units` counts them."""

    def count(index: np.ndarray) -> float:
        return float((means[index].var(0) > ACTIVE).sum())

    return bootstrap(count, len(means), ACTIVE_UNITS)


def _note(trace: Trace) -> str:
    """What a log-density of these values is no measure of."""
    bits = trace.likelihood.support is constraints.boolean
    grey = bool(((trace.x != 0) & (trace.x != 1)).any())
    return GREY if bits and grey else ""
