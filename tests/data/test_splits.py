import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aelab.core.errors import ConfigurationError
from aelab.data.loader import EvalLoader, TrainLoader
from aelab.data.splits import Observations, cut, subset
from aelab.data.values import Dynamic, Grey


@pytest.fixture
def view(numbered):
    """Every other image of a map in reverse order, as a view, and the same images as a copy."""

    def build(count):
        whole = numbered(2 * count)
        attributes = torch.rand(2 * count, 3, generator=torch.Generator().manual_seed(0))
        rows = torch.arange(0, 2 * count, 2).flip(0)
        mapped = Observations(whole.x, whole.y, attributes, torch.arange(2 * count), mapped=True).take(rows)
        return mapped, Observations(whole.x[rows], whole.y[rows], attributes[rows])

    return build


def equal(first, second):
    pairs = zip(first, second, strict=True)
    return len(first) == len(second) and all(
        torch.equal(a.x, b.x) and torch.equal(a.y, b.y) and torch.equal(a.attributes, b.attributes)
        for a, b in pairs
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(count=st.integers(1, 30), size=st.integers(1, 9), world=st.integers(1, 3), epoch=st.integers(0, 50))
def test_a_view_makes_the_batches_of_a_copy_to_the_bit(view, count, size, world, epoch):
    mapped, copied = view(count)
    for rank in range(world):
        share = {"seed": 1, "stage": "data/train", "rank": rank, "world_size": world}
        train = [TrainLoader(images, Dynamic(), size, **share) for images in (mapped, copied)]
        for loader in train:
            loader.set_epoch(epoch)
        assert equal(*map(list, train))
        assert equal(*(list(EvalLoader(i, Dynamic(), size, **share)) for i in (mapped, copied)))


def test_a_view_shares_its_pixels_however_often_it_is_taken_and_moved(view):
    mapped, copied = view(20)
    index = torch.tensor([3, 1, 7])
    taken = mapped.take(index).to(torch.device("cpu")).take(torch.tensor([2, 0]))
    assert taken.x.data_ptr() == mapped.x.data_ptr()
    assert len(taken) == 2
    assert torch.equal(taken.at(slice(None)).x, copied.x[[7, 3]])
    assert torch.equal(taken.y, copied.y[[7, 3]])
    assert torch.equal(taken.attributes, copied.attributes[[7, 3]])


def test_a_view_never_leaves_for_a_device_and_its_batches_do(view):
    mapped, copied = view(6)
    elsewhere = torch.device("meta")
    assert mapped.to(elsewhere) is mapped
    assert copied.to(elsewhere).x.is_meta
    batch = mapped.at(torch.tensor([0, 1])).to(elsewhere)
    assert all(tensor.is_meta for tensor in (batch.x, batch.y, batch.attributes))


def test_batches_of_a_view_never_reach_its_pixels(view):
    mapped, copied = view(6)
    mapped.at(slice(0, 6)).x.zero_()
    mapped.at(torch.arange(6)).x.zero_()
    assert torch.equal(mapped.at(slice(0, 6)).x, copied.x)


def test_attributes_are_none_where_there_are_none(numbered):
    (batch,) = TrainLoader(numbered(3), Grey(), 3, seed=0, stage="data/train")
    assert batch.attributes is None


@pytest.mark.parametrize(("asked", "size"), [(1, 1), (9, 9), (0.3, 3), (0.25, 2), (0.94, 9)])
def test_a_cut_is_a_number_or_a_share(asked, size):
    assert cut(asked, 10, "data.validation", "them") == size


@pytest.mark.parametrize("asked", [0, 10, -1, 0.0, 0.01, 1.0, float("inf"), float("nan")])
def test_a_cut_that_leaves_a_split_empty_is_refused(asked):
    with pytest.raises(ConfigurationError, match=r"data\.test=.* of ten images .* 1 to 9 or a share"):
        cut(asked, 10, "data.test", "ten images")


@given(st.integers(1, 300), st.integers(0, 400), st.integers(0, 400))
def test_a_subset_is_the_beginning_of_one_permutation(of, few, many):
    few, many = sorted((few, many))
    whole = subset(None, of)
    assert sorted(whole.tolist()) == list(range(of))
    assert subset(many, of).tolist() == whole[:many].tolist()
    assert subset(few, of).tolist() == subset(many, of)[:few].tolist()


def test_a_subset_of_sorted_rows_holds_every_class():
    labels = torch.arange(10).repeat_interleave(100)  # as a folder for each class gives them
    counts = labels[subset(200, of=len(labels))].bincount(minlength=10)
    assert counts.min() > 5
