"""Priors that are normalising flows of zuko, conditional on the context where there is one."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.distributions import Distribution

from aelab.priors.base import Encode, Prior


class Flow(Prior):
    """flow: (features, context) -> a flow of zuko over `features` dimensions, such as `zuko.flows.RealNVP`
    (Dinh et al. 2017) or `zuko.flows.NSF` (Durkan et al. 2019)."""

    def __init__(
        self, latent: int, flow: Callable[..., nn.Module], context: int = 0, shape: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.flow = flow(features=latent, context=context)

    def forward(self, context: Tensor | None, encode: Encode) -> Distribution:
        return self.flow(None if context is None else context.float())
