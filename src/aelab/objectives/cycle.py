"""Codes that are decoded and read again."""

from torch import Tensor

from aelab.core.records import Trace
from aelab.models import Autoencoder
from aelab.models.evidence import required_posterior
from aelab.objectives.adversarial.comparisons import samples
from aelab.objectives.base import Term


class Cycle(Term):
    """Half the squared error, summed, of the mean of q(z|x') for the sample x' of a code z of the prior: with
    the distortion it asks that encoder and decoder undo each other (CycleGAN, Zhu et al. 2017,
    https://arxiv.org/abs/1703.10593, of absolute errors)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "a cycle of codes")
        made, z = samples(trace, model)
        found = model.posterior_of(made, trace.context).mean
        return 0.5 * (found - z).square().sum(-1).mean()
