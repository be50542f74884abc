"""Means of gradients and of buffers over the processes of one training, where Lightning takes none."""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Take the mean over all processes of the gradients, but for those of shards, which takes it itself."""
    gradients = [p.grad for p in parameters if p.grad is not None and not isinstance(p.grad, DTensor)]
    average(gradients)


@torch.no_grad()
def average(tensors: Sequence[Tensor]) -> None:
    """Put the mean over all processes in the place of each tensor, by one exchange."""
    if not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def take_firsts(tensors: Iterable[Tensor]) -> None:
    """Put those of the first process, which checkpoints hold, in the place of each tensor."""
    for tensor in tensors:
        dist.broadcast(tensor, 0)


def of_first(tensor: Tensor) -> Tensor:
    """The first process's tensor, in all processes of one training."""
    if dist.is_initialized():
        dist.broadcast(tensor, 0)
    return tensor
