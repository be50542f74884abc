"""The optimisers of a training: one for each group of parameters, and no parameter in two of them."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from aelab.core.errors import ConfigurationError
from aelab.training.sharding import apart

Factory = Callable[..., Optimizer]
Groups = dict[str, list[nn.Parameter]]
T = TypeVar("T")


def grouped(owners: Mapping[str, nn.Module]) -> Groups:
    """The trained parameters of each owner that no owner before it has; owners without any are left out."""
    seen: set[nn.Parameter] = set()
    groups: Groups = {}
    for name, owner in owners.items():
        found = [p for p in owner.parameters() if p.requires_grad and p not in seen]
        seen.update(found)
        if found:
            groups[name] = found
    return groups


def optimizers_of(groups: Groups, model: Factory, others: Mapping[str, Factory]) -> dict[str, Optimizer]:
    """A new optimiser for each group, by `others` or else as the model's.

    Raises ConfigurationError for an option that makes none or is for no group, and where nothing of the model
    is trained.
    """
    if "model" not in groups:
        raise ConfigurationError("start.frozen leaves no weight of the model to train: freeze less of it")
    for name in others:
        if name not in groups or name == "model":
            raise ConfigurationError(
                f"training.optimizers.{name} is for no parameters: beside the model's, which `optimizer` is "
                f"for, there are those of {', '.join(list(groups)[1:]) or 'nothing'}"
            )
    return {name: _made(name, parameters, model, others) for name, parameters in groups.items()}


def _made(
    name: str, parameters: Iterable[nn.Parameter], model: Factory, others: Mapping[str, Factory]
) -> Optimizer:
    try:
        optimizer = others.get(name, model)([{"params": some} for some in apart(parameters)])
    except (ValueError, TypeError) as error:
        option = f"training.optimizers.{name}" if name in others else "optimizer"
        raise ConfigurationError(f"{error} (in {option})") from error
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def check_scaled(optimizers: Mapping[str, Optimizer], clip: float | None) -> None:
    """Refuse what does not know that trainer.precision=16-mixed scales the loss."""
    if clip and optimizers["model"].defaults.get("fused"):
        raise ConfigurationError(
            "training.gradient_clip_val with trainer.precision=16-mixed needs unscaled gradients, which "
            "a fused optimiser does not give: add optimizer.fused=false, or use bf16-mixed"
        )
    if len(optimizers) > 1:
        raise ConfigurationError(
            "trainer.precision=16-mixed scales the loss for one optimiser, and this training has one each "
            f"for {', '.join(optimizers)}: choose trainer.precision=bf16-mixed"
        )


def of_group(name: str, given: Mapping[str, T]) -> T | None:
    """What is given for a critic of a name, or else for all critics."""
    return given.get(name, given.get("critics"))


def scale_rates(optimizer: Optimizer, factor: float) -> None:
    """Set the learning rates to a multiple of those that were configured."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["initial_lr"]


def forget_gradients(optimizer: Optimizer) -> None:
    """What `zero_grad` comes to, at a fifth of its price."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def norm(parameters: Iterable[Tensor]) -> Tensor:
    """The norm of their gradients, before any clipping, a scalar."""
    return get_total_norm([p.grad for p in parameters if p.grad is not None])
