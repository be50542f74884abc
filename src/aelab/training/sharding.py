"""Encoder and decoder in shards (FSDP2): each process keeps a part of their weights, gradients and moments.

They hold nearly all weights, and are reached by their forward alone. All others are whole in every process,
where a mean of their gradients keeps them alike.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from aelab.models import Autoencoder


class Sharded(ModelParallelStrategy):
    """Lightning's strategy with all devices in one group, and checkpoints of whole weights in one file."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_processes * self.num_nodes
        super().setup_environment()


def shard(model: Autoencoder, mesh: DeviceMesh) -> None:
    """Leave each process of a mesh its part of encoder and decoder; a second call does nothing."""
    for part in filter(None, (model.encoder, model.decoder)):
        if any(True for _ in part.parameters()) and not isinstance(part, FSDPModule):
            fully_shard(part, mesh=mesh)


def gather(module: nn.Module) -> None:
    """Make all weights whole until `scatter`, so that processes need not compute in step."""
    for part in _sharded(module):
        part.set_reshard_after_forward(False)
        part.unshard()


def scatter(module: nn.Module) -> None:
    """Leave each process its own part again."""
    for part in _sharded(module):
        part.set_reshard_after_forward(True)
        part.reshard()


def load_whole(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Load whole weights, sharded here or not."""
    if any(True for _ in _sharded(module)):
        set_model_state_dict(module, dict(state), options=StateDictOptions(full_state_dict=True))
    else:
        module.load_state_dict(state)


def apart(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """The sharded and the whole ones, which no operation on several tensors takes together."""
    known = list(parameters)
    kinds = [[p for p in known if isinstance(p, DTensor) is sharded] for sharded in (True, False)]
    return [kind for kind in kinds if kind]


def local(parameter: Tensor) -> Tensor:
    """What this process has of a parameter."""
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


def _sharded(module: nn.Module) -> Iterator[FSDPModule]:
    return (part for part in module.modules() if isinstance(part, FSDPModule))
