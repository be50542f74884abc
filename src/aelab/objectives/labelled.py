"""What models of labels are trained by, where a label is known of some observations."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import kl_divergence

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.models import Autoencoder
from aelab.models.distributions import Chain, divergence
from aelab.models.posteriors import LabelChain
from aelab.objectives.base import Term


class _Told(NamedTuple):
    """Pairs of an observation and a label: rows (R,), one-hot y (R, classes), and their shares (R,)."""

    rows: Tensor
    y: Tensor
    share: Tensor


class LabelledBound(Term):
    """The negative evidence lower bound of x and y where y is known, and elsewhere that of x, which is the
    sum over all labels: Σ q(y|x) (-log p(x|z,y) + KL(q(z|x,y) || p(z|y))) + KL(q(y|x) || p(y)) (M2, Kingma et
    al. 2014, https://arxiv.org/abs/1406.5298)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        q, p = _chains(trace)
        y = _labels(trace)
        told = _told(q, y)
        of_labels = torch.where(
            y < 0,
            kl_divergence(q.first, p.first),
            -p.first.log_prob(F.one_hot(y.clamp_min(0), q.sizes[1])),
        )
        return (told.share @ _costs(trace, model, told) + of_labels.sum()) / len(y)


def _chains(trace: Trace) -> tuple[LabelChain, Chain]:
    q, p = trace.posterior, trace.prior
    if not isinstance(q, LabelChain) or not isinstance(p, Chain):
        raise ConfigurationError(
            "a term of labels reads codes of which a label is a part: choose posterior=labelled with "
            "prior=labelled"
        )
    return q, p


def _labels(trace: Trace) -> Tensor:
    if trace.batch.y is None:
        raise ConfigurationError(
            "a term of labels needs them for some observations, and these data have none: choose others, or "
            "objective=elbo"
        )
    return trace.batch.y


def _told(q: LabelChain, y: Tensor) -> _Told:
    """Each observation with its label, or with all of them by their probabilities where it is unknown."""
    unknown, every = (y < 0)[:, None], q.probabilities
    known = F.one_hot(y.clamp_min(0), every.shape[1])
    rows, labels = (unknown | (known > 0)).nonzero(as_tuple=True)
    share = torch.where(unknown, every, 1.0)[rows, labels]
    return _Told(rows, F.one_hot(labels, every.shape[1]).to(every.dtype), share)


def _costs(trace: Trace, model: Autoencoder, told: _Told) -> Tensor:
    """-log p(x|z,y) + KL(q(z|x,y) || p(z|y)) of each pair, averaged over as many codes as the trace's:
    (R,)."""
    q, p = _chains(trace)
    inner, x = q.told(told.rows, told.y), trace.x[told.rows]
    z = inner.rsample((len(trace.z),))
    codes = torch.cat([z, told.y.expand(len(z), -1, -1)], -1)
    context = None if trace.context is None else trace.context[told.rows]
    distortion = -model.likelihood_of(x, codes, context).log_prob(x).mean(0)
    return distortion + divergence(inner, p.following[0](told.y), z)
