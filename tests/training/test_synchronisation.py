"""Between two windows of its journal a step reads nothing back, for which an accelerator would be waited."""

from typing import Any

import pytest
import torch
from small import OF_A_RUN, few_quick, of_numbers, small
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from aelab.training.loop import EpochLoop

ATEN = torch.ops.aten
READS = {
    ATEN._local_scalar_dense.default,
    ATEN.nonzero.default,
    ATEN.masked_select.default,
    ATEN.equal.default,
    ATEN._unique2.default,
    ATEN.unique_dim.default,
}


# What a step has to know of its values, and how its operations follow from them.
BY_VALUES = {
    "cycle_gan",  # as many observations as the other domain has
    "flow_prior_vae",  # the masks of zuko's coupling, which stay the same
    "hyperspherical_vae",  # draws are rejected until all are accepted
    "m2_vae",  # as many rows as there are labels to sum over
    "ss_cvae",
}
VARIANTS = [v for v in of_numbers("variant") if v not in OF_A_RUN | BY_VALUES]


class Reads(TorchDispatchMode):
    """Lists the operations whose result, or its size, the host has to know."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masks = func is ATEN.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1])
        if func in READS or masks:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("variant", few_quick(VARIANTS, every=12))
def test_a_step_reads_nothing_back(train, monkeypatch, variant):
    reads: list[list[str]] = []
    step, one_hot = EpochLoop._train, functional.one_hot

    def unwatched(*args: Any) -> torch.Tensor:
        with _disable_current_modes():  # on a CPU alone it looks at its labels
            return one_hot(*args)

    def watched(self: EpochLoop, batch: Any, batch_idx: int) -> Any:
        with Reads() as mode:
            result = step(self, batch, batch_idx)
        reads.append(mode.found)
        return result

    monkeypatch.setattr(functional, "one_hot", unwatched)
    monkeypatch.setattr(EpochLoop, "_train", watched)
    train(f"variant={variant}", base=small(variant))
    assert reads == [[], [], []]


def test_what_is_read_is_seen():
    with Reads() as mode:
        x = torch.ones(3)
        bool(x.sum() > 1)
        x[x > 0]
        x.index_select(0, torch.tensor([0]))
    assert len(mode.found) == 2
