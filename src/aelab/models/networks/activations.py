"""What follows a linear map or a convolution: any of torch's activations, or a gate."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


class Gate(nn.Module):
    """The gated linear unit: a * sigmoid(b) of the two halves a and b of dimension 1.

    After a linear map or a convolution of twice the width it is h = (W x + b) * sigmoid(V x + c)
    (Dauphin et al. 2017; Tomczak and Welling 2018). forward: x (B, 2 D, ...) -> (B, D, ...).
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(x, 1)


def arity(activation: Activation) -> int:
    """How many values an activation takes for each that it gives: 2 for a gate, else 1."""
    return 2 if isinstance(activation(), Gate) else 1
