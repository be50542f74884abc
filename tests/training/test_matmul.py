"""Products by oneDNN: only where they are exact, and worth it."""

import pytest
import torch
from torch import nn

from aelab.training import matmul
from aelab.training.matmul import choose_matmul

LARGE, SMALL = nn.Sequential(nn.Linear(784, 512)), nn.Linear(8, 8)


@pytest.fixture(autouse=True)
def _as_before():
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("allowed", [True, False])
def test_products_are_exact_to_float32_whatever_is_chosen(allowed, monkeypatch):
    if not allowed:
        monkeypatch.setattr(matmul, "EXACT", 0.0)
    chosen = choose_matmul(LARGE, 128)
    assert torch.get_float32_matmul_precision() == ("medium" if chosen else "highest")
    assert chosen <= allowed
    x = torch.randn(128, 784)
    exact = x.double() @ LARGE[0].weight.double().T + LARGE[0].bias.double()
    assert (LARGE(x) - exact).norm() < 1e-6 * exact.norm()


def test_a_rounding_library_is_not_taken(monkeypatch):
    monkeypatch.setattr(matmul, "_error", lambda: 2e-3)  # what bfloat16 leaves, on processors that use it
    assert not choose_matmul(LARGE, 128)
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(("model", "rows"), [(SMALL, 128), (LARGE, 1), (nn.ReLU(), 10**9)])
def test_small_products_stay_where_they_are_though_an_earlier_run_had_large_ones(model, rows):
    choose_matmul(LARGE, 128)
    assert not choose_matmul(model, rows)
    assert torch.get_float32_matmul_precision() == "highest"
