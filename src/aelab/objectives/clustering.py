"""Codes drawn to the centres of clusters."""

from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.models import Autoencoder
from aelab.models.evidence import required_posterior
from aelab.models.priors import Centres
from aelab.objectives.base import Term


class DeepClustering(Term):
    """KL(p || q) between soft assignments q of codes to the centres of the prior, by Student's kernel of one
    degree of freedom, and the sharper ones p (Xie, Girshick and Farhadi 2016,
    https://arxiv.org/abs/1511.06335); p is a constant, made of each batch."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "clustering")
        if not isinstance(model.prior, Centres):
            raise ConfigurationError("clustering draws codes to the centres of a prior: choose prior=centres")
        q = assignments(trace.z[0], model.prior.loc)
        p = sharpened(q.detach())
        return (p * (p.log() - q.log())).sum(1).mean()


def assignments(z: Tensor, centres: Tensor) -> Tensor:
    """q_ij, proportional to 1 / (1 + |z_i - m_j|^2), of codes (B, D) and centres (K, D): (B, K).

    >>> import torch
    >>> assignments(torch.zeros(1, 2), torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    tensor([[0.6667, 0.3333]])
    """
    kernel = 1 / (1 + (z[:, None] - centres).square().sum(-1))
    return kernel / kernel.sum(1, keepdim=True)


def sharpened(q: Tensor) -> Tensor:
    """p_ij, proportional to q_ij^2 / sum_i q_ij: surer, and of clusters of more even sizes (B, K)."""
    weighed = q.square() / q.sum(0)
    return weighed / weighed.sum(1, keepdim=True)
