import itertools

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aelab.data.loader import EvalLoader, TrainLoader
from aelab.data.splits import Observations
from aelab.data.values import Dynamic, Grey

COUNTS = st.integers(1, 40)
SIZES = st.integers(1, 12)
WORLDS = st.integers(1, 5)
EPOCHS = st.integers(0, 1000)
with_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def train(images, size=4, values=None, seed=0, **share):
    return TrainLoader(images, values or Dynamic(), size, seed=seed, stage="data/train", **share)


def evaluation(images, size=4, values=None, seed=0, **share):
    return EvalLoader(images, values or Dynamic(), size, seed=seed, stage="data/val", **share)


def epoch_of(loader, epoch):
    loader.set_epoch(epoch)
    return list(loader)


def numbers(batches):
    return [number for batch in batches for number in batch.y.tolist()]


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(a.x, b.x) and torch.equal(a.y, b.y) for a, b in zip(first, second, strict=True)
    )


@with_fixtures
@given(count=COUNTS, size=SIZES, world=WORLDS, epoch=EPOCHS)
def test_ranks_share_an_epoch_in_equal_parts(numbered, count, size, world, epoch):
    images = numbered(count)
    ranks = [epoch_of(train(images, size, rank=rank, world_size=world), epoch) for rank in range(world)]
    shares = [numbers(batches) for batches in ranks]
    dealt = [number for step in zip(*shares, strict=True) for number in step]
    alone = numbers(epoch_of(train(images), epoch))
    assert sorted(alone) == list(range(count))
    assert dealt == [alone[place % count] for place in range(len(dealt))]
    assert 0 <= len(dealt) - count < world
    assert {len(batches) for batches in ranks} == {len(train(images, size, world_size=world))}
    assert all(len(batch.y) == size for batches in ranks for batch in batches[:-1])


@with_fixtures
@given(seed=st.integers(0, 2**31), epoch=EPOCHS, size=SIZES, other=st.integers(0, 99))
def test_the_order_follows_from_seed_and_epoch_alone(numbered, seed, epoch, size, other):
    images = numbered(30)
    torch.manual_seed(other)
    order = numbers(epoch_of(train(images, size, seed=seed), epoch))
    torch.manual_seed(other + 1)
    loader = train(images, 7, Grey(), seed=seed)
    epoch_of(loader, other)
    assert numbers(epoch_of(loader, epoch)) == order
    assert numbers(epoch_of(loader, epoch + 1)) != order
    assert numbers(epoch_of(train(images, size, seed=seed + 1), epoch)) != order


def test_images_keep_their_labels(numbered):
    images = numbered(600)
    for batch in train(images, 64, Grey()):
        pixels = (batch.x * 255).round().long()
        assert torch.equal(pixels[:, 0, 0, 0] * 256 + pixels[:, 0, 0, 1], batch.y)


@with_fixtures
@given(data=st.data(), count=COUNTS, size=SIZES, world=WORLDS, epoch=EPOCHS)
def test_a_continued_epoch_is_the_tail_of_the_whole_one_to_the_bit(numbered, data, count, size, world, epoch):
    images = numbered(count)
    share = {"rank": data.draw(st.integers(0, world - 1)), "world_size": world}
    whole = train(images, size, **share)
    first, second = epoch_of(whole, epoch), epoch_of(whole, epoch + 1)
    batch = data.draw(st.integers(0, len(whole)))
    continued = train(images, size, **share)
    continued.start_at(epoch, batch)
    assert len(continued) == len(whole)
    assert same(list(continued), first[batch:])
    assert same(epoch_of(continued, epoch + 1), second)
    assert same(epoch_of(continued, epoch), first)


def test_a_start_waits_for_its_epoch(numbered):
    loader = train(numbered(20))
    loader.start_at(3, 2)
    assert len(epoch_of(loader, 2)) == 5
    assert len(epoch_of(loader, 3)) == 3


def test_the_epoch_can_be_set_after_iter_as_lightning_does(numbered):
    loader = train(numbered(20))
    iterator = iter(loader)
    loader.sampler.set_epoch(7)
    assert same(list(iterator), epoch_of(train(numbered(20)), 7))


def test_noise_differs_between_epochs_batches_ranks_seeds_and_stages(numbered):
    images = numbered(64, labels=False)
    images.x.fill_(128)
    share = {"world_size": 2}
    drawn = [
        *epoch_of(train(images, 16, rank=0, **share), 0),
        *epoch_of(train(images, 16, rank=0, **share), 1),
        *epoch_of(train(images, 16, rank=1, **share), 0),
        *epoch_of(train(images, 16, rank=0, seed=1, **share), 0),
        *evaluation(images, 16),
    ]
    assert all(not torch.equal(a.x, b.x) for a, b in itertools.combinations(drawn, 2))


@with_fixtures
@given(count=COUNTS, size=SIZES, world=WORLDS)
def test_evaluation_is_the_same_for_every_number_of_ranks(numbered, count, size, world):
    images = numbered(count)
    alone = list(evaluation(images, size))
    assert numbers(alone) == list(range(count))
    ranks = [list(evaluation(images, size, rank=rank, world_size=world)) for rank in range(world)]
    assert {len(batches) for batches in ranks} == {len(evaluation(images, size, world_size=world))}
    dealt = [batch for step in zip(*ranks, strict=True) for batch in step]
    assert same(dealt[: len(alone)], alone)
    empty = dealt[len(alone) :]
    assert len(empty) < world
    assert all(batch.x.shape == (0, 1, 2, 4) and batch.y.shape == (0,) for batch in empty)


def test_evaluation_is_the_same_in_every_pass(numbered):
    loader = evaluation(numbered(30))
    assert same(list(loader), list(loader))


@given(st.integers(1, 3))
def test_a_loader_touches_no_global_generator(world):
    images = Observations(torch.full((9, 1, 2, 2), 128, dtype=torch.uint8))
    state = torch.get_rng_state()
    assert len(list(train(images, world_size=world))) > 0
    assert len(list(evaluation(images, world_size=world))) > 0
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("build", [train, evaluation])
def test_unlabelled_images_give_no_labels(numbered, build):
    batches = list(build(numbered(9, labels=False)))
    assert [len(batch.x) for batch in batches] == [4, 4, 1]
    assert all(batch.y is None and batch.mask is None for batch in batches)
    assert all(batch.x.dtype == torch.float32 for batch in batches)


@with_fixtures
@given(count=COUNTS, size=SIZES)
def test_resident_images_are_never_changed(numbered, count, size):
    assume(count > 1)
    images = numbered(count)
    for loader in (train(images, size, Grey()), evaluation(images, size, Grey())):
        for batch in loader:
            batch.x.zero_()
    assert torch.equal(images.x, numbered(count).x)
