"""Matrix products in float32 on a CPU, by the fastest library that is as exact."""

import torch
from torch import nn

EXACT = 1e-5  # relative error of a product of 512 terms: float32 leaves 1e-7, bfloat16 1e-3
WORTHWHILE = 4e6  # multiplications of a layer's product, below which oneDNN's preparations cost more


def choose_matmul(model: nn.Module, rows: int) -> bool:
    """Let oneDNN compute this process's float32 products where that is faster and exact; whether it does.

    rows: of a batch. torch takes MKL, which leaves half of an AMD processor's units idle: on large layers
    oneDNN is twice as fast there. The setting that allows it also lets it round to bfloat16, which it does on
    processors with matrix units: so a product is tried, and the setting taken back where it comes out
    rounded. With an accelerator at hand nothing is changed, for there the setting would mean TF32.
    """
    if torch.accelerator.is_available():
        return False
    layers = (layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
    wanted = rows * max(layers, default=0) >= WORTHWHILE
    torch.set_float32_matmul_precision("medium" if wanted else "highest")
    if wanted and _error() > EXACT:
        torch.set_float32_matmul_precision("highest")
        return False
    return wanted


def _error() -> float:
    """The relative error of a product of the sizes that networks have."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 512, generator=generator) for n in (128, 784))
    exact = a.double() @ b.double().T
    return ((nn.functional.linear(a, b) - exact).norm() / exact.norm()).item()
