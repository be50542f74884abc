"""What the distributions share: values that are independent given the parameters, and frozen parameters."""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

from torch import Size, Tensor, distributions, nn
from torch.distributions import Distribution, Transform, constraints

from aelab.core.errors import ConfigurationError

ONE = Size()  # the shape of a single sample
Shape = Size | list[int] | tuple[int, ...]
D = TypeVar("D", bound=Distribution)


def sum_event(values: Tensor, dims: int) -> Tensor:
    """The sum over the last `dims` dimensions.

    >>> from torch import ones
    >>> sum_event(ones(2, 3, 4), 2)
    tensor([12., 12.])
    """
    return values.flatten(-dims).sum(-1) if dims > 1 else values.sum(-1)


class Factorised(Distribution, ABC):
    """Values over the last `event_dims` dimensions that are independent given the parameters.

    parameter: (*batch, *event), which decides the shapes.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, parameter: Tensor, event_dims: int) -> None:
        split = parameter.dim() - event_dims
        super().__init__(parameter.shape[:split], parameter.shape[split:], validate_args=False)

    @abstractmethod
    def each(self, value: Tensor) -> Tensor:
        """The log-density of each value, in nats: (*batch, *event), or 1 for a dimension that it joins."""

    def log_prob(self, value: Tensor) -> Tensor:
        return sum_event(self.each(value), len(self.event_shape))


class Independent(distributions.Independent):
    """torch's, whose values have densities `each`; for univariate distributions of torch.

    >>> from torch import zeros
    >>> p = Independent(distributions.Laplace(zeros(3), 0.5), 1)
    >>> p.each(zeros(3)), p.log_prob(zeros(3))
    (tensor([0., 0., 0.]), tensor(0.))
    """

    def __init__(self, base: Distribution, event_dims: int) -> None:
        super().__init__(base, event_dims, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Of each value."""
        return self.base_dist.support

    def each(self, value: Tensor) -> Tensor:
        """The log-density of each value, in nats: (*batch, *event)."""
        return self.base_dist.log_prob(value)


def frozen(distribution: D) -> D:
    """The same distribution, whose parameters carry no gradient: its log-density then has only a path.

    Raises ConfigurationError for one whose density is more than a formula of its parameters, as a flow's.

    >>> from torch import zeros
    >>> scale = zeros(3, requires_grad=True).exp()
    >>> frozen(distributions.Normal(zeros(3), scale)).scale.requires_grad
    False
    """
    twin = copy.copy(distribution)
    for name, value in vars(distribution).items():
        setattr(twin, name, _held(value, type(distribution).__name__))
    return twin


def _held(value: Any, owner: str) -> Any:
    if isinstance(value, nn.Module | Transform) or callable(value):
        raise ConfigurationError(
            f"this bound holds the posterior's parameters fixed, which {owner} does not allow: choose "
            "posterior=diagonal_gaussian, low_rank_gaussian, full_gaussian or von_mises_fisher"
        )
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Distribution):
        return frozen(value)
    if isinstance(value, dict):
        return {key: _held(each, owner) for key, each in value.items()}
    return [_held(each, owner) for each in value] if isinstance(value, list) else value
