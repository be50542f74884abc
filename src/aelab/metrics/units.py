"""Units in use, counted in one way for every code: those whose activity varies over observations.

A unit is a dimension of a code, active by its mean; or an entry of a codebook, active as often as an
observation has it. So an entry that one observation in a hundred has is in use, as is a sparse dimension that
such a one switches on by 1.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.metrics.estimand import Estimand
from aelab.models.distributions import Quantised

ACTIVE = 0.01  # variance over observations of the activity of a unit in use
ACTIVE_UNITS = Quantity("active_units", "units")
PERPLEXITY = Quantity("perplexity", "codebook entries")


def activity(q: Distribution) -> Tensor:
    """The activity of each unit in each observation: (B, units).

    >>> from aelab.models.distributions import Gaussian
    >>> activity(Gaussian(torch.ones(2, 3), torch.zeros(2, 3))).shape
    torch.Size([2, 3])
    """
    return q.activity() if isinstance(q, Quantised) else q.mean


class Units(Estimand):
    """The units in use: Var_x activity > 0.01, of latent dimensions Var_x E_q[z_i] (Burda et al. 2016,
    https://arxiv.org/abs/1509.00519).

    perplexity: of codebooks too, the exponential of the entropy of which entries are chosen, at most as many
    as there are; of several books the geometric mean.
    codes: entries of a codebook; None where there is none.
    """

    total: Tensor
    square: Tensor

    def __init__(self, units: int, threshold: float = ACTIVE, codes: int | None = None) -> None:
        super().__init__([ACTIVE_UNITS, PERPLEXITY], total=(units,), square=(units,))
        self.threshold, self.codes = threshold, codes

    def update(self, trace: Trace) -> None:
        if trace.posterior is None:
            return
        active = activity(trace.posterior).double()
        self.count += len(active)
        self.total += active.sum(0)
        self.square += active.square().sum(0)

    def compute(self) -> dict[str, Tensor]:
        if not self.count:
            return {}
        variance = self.square / self.count - (self.total / self.count).square()
        found = {"active_units": (variance > self.threshold).sum().double()}
        return found if self.codes is None else found | {"perplexity": self._perplexity(self.codes)}

    def _perplexity(self, codes: int) -> Tensor:
        shares = self.total.view(-1, codes) / self.total.view(-1, codes).sum(1, keepdim=True)
        return torch.special.entr(shares).sum(1).mean().exp()
