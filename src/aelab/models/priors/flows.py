"""Priors that are normalising flows of zuko, conditional on the context where there is one."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from aelab.core.records import Sizes
from aelab.models.distributions.base import ONE, Shape
from aelab.models.priors.base import Encodes, Prior


class Flow(Prior):
    """flow: (features, context) -> a flow of zuko over `features` dimensions, such as `zuko.flows.RealNVP`
    (Dinh et al. 2017) or `zuko.flows.NSF` (Durkan et al. 2019)."""

    def __init__(self, sizes: Sizes, flow: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.flow = flow(features=sizes.latent, context=sizes.context)

    def forward(self, context: Tensor | None, model: Encodes) -> Distribution:
        return _Single(self.flow(None if context is None else context.float()))


class _Single(Distribution):
    """A flow whose networks run in single precision under autocast too: they give its log-determinant."""

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, flow: Distribution) -> None:
        self.flow = flow
        super().__init__(flow.batch_shape, flow.event_shape, validate_args=False)

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            return self.flow.rsample(torch.Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        with torch.autocast(value.device.type, enabled=False):
            return self.flow.log_prob(value)
