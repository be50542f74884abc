"""Priors that are normalising flows of zuko, conditional on the context where there is one."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.distributions import Distribution

from aelab.core.records import Sizes
from aelab.models.priors.standardised import Standardised


class Flow(Standardised):
    """flow: (features, context) -> a flow of zuko over `features` dimensions, such as `zuko.flows.RealNVP`
    (Dinh et al. 2017), `MAF` (Papamakarios et al. 2017) or `NSF` (Durkan et al. 2019)."""

    def __init__(self, sizes: Sizes, flow: Callable[..., nn.Module]) -> None:
        super().__init__(sizes)
        self.flow = flow(features=sizes.latent, context=sizes.context)

    def standard(self, context: Tensor | None) -> Distribution:
        return self.flow(context)
