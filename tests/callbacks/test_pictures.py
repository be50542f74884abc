import torch

from aelab.callbacks.pictures import _to
from aelab.records import Batch


def test_a_batch_is_moved_whole():
    batch = Batch(torch.rand(2, 1, 3, 3), torch.arange(2), torch.rand(2, 5), torch.ones(2, 4) > 0)
    moved = _to(batch, torch.device("meta"))
    assert [value.shape for value in moved] == [value.shape for value in batch]
    assert all(value.is_meta for value in moved)
    assert _to(Batch(batch.x), torch.device("cpu")) == Batch(batch.x)
