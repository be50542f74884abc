from dataclasses import dataclass, replace

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.core.errors import ConfigurationError, DataError
from aelab.data import splits
from aelab.data.kinds import Pixels
from aelab.data.module import DataModule
from aelab.data.sources.digits import Digits
from aelab.data.splits import Observations, Splits
from aelab.data.values import Dynamic, Fixed, Grey, Threshold


@dataclass
class Given:
    """A source of images made by the test."""

    train: Observations
    test: Observations
    validation: Observations | None = None

    def prepare(self) -> None:
        pass

    def load(self) -> Splits:
        return Splits(self.train, self.test, {"given": "md5:0"}, self.validation)


def images(count, first=0, classes=10):
    number = torch.arange(first, first + count)
    x = torch.full((count, 1, 2, 4), 128, dtype=torch.uint8)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = (number // 256).byte(), (number % 256).byte()
    return Observations(x, number % classes)


def module(train=None, test=None, published=None, **options):
    train = images(50) if train is None else train
    source = Given(train, images(20, first=50) if test is None else test, published)
    defaults = {
        "name": "given",
        "source": source,
        "shape": [1, 2, 4],
        "classes": 10,
        "batch_size": 8,
        "eval_batch_size": 8,
        "validation": 10,
        "kind": Pixels(),
        "values": Grey(),
        "bounds": (0, 1),
        "seed": 0,
    }
    return DataModule(**(defaults | options))


def numbers(loader):
    pixels = torch.cat([batch.x for batch in loader]).mul(255).round().long()
    return (pixels[:, 0, 0, 0] * 256 + pixels[:, 0, 0, 1]).tolist()


def parts(data):
    return [
        numbers(loader) for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    ]


@settings(deadline=None)
@given(st.integers(1, 49), st.integers(0, 99))
def test_the_splits_are_disjoint_and_cover(validation, split_seed):
    train, val, test = parts(module(validation=validation, split_seed=split_seed))
    assert sorted(train + val) == list(range(50))
    assert len(val) == validation
    assert sorted(test) == list(range(50, 70))


def test_the_cut_depends_on_the_split_seed_and_not_on_the_seed():
    cut = parts(module())[1]
    assert parts(module(seed=1))[1] == cut
    assert parts(module(split_seed=1))[1] != cut


def test_a_share_is_that_part_of_the_training_images():
    assert len(parts(module(validation=0.3))[1]) == 15


@pytest.mark.parametrize("validation", [0, 50, 51, -1, 0.0, 1.0, 0.001])
def test_a_cut_that_empties_a_split_is_refused(validation):
    with pytest.raises(ConfigurationError, match=r"data\.validation=.*1 to 49"):
        module(validation=validation).setup()


@settings(deadline=None)
@given(st.integers(2, 50), st.integers(0, 99))
def test_folds_are_a_partition_of_the_training_images(folds, split_seed):
    cuts = [
        parts(module(validation=None, folds=folds, fold=fold, split_seed=split_seed)) for fold in range(folds)
    ]
    assert sorted(number for _, val, _ in cuts for number in val) == list(range(50))
    assert {len(val) for _, val, _ in cuts} <= {50 // folds, -(-50 // folds)}
    for train, val, test in cuts:
        assert sorted(train + val) == list(range(50))
        assert sorted(test) == list(range(50, 70))


def test_the_first_fold_is_the_cut_of_a_number_of_that_size():
    assert parts(module(validation=None, folds=5)) == parts(module(validation=10))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"folds": 1}, r"data\.folds=1 must be a whole number from 2"),
        ({"folds": 2.5}, r"data\.folds=2\.5 must be a whole"),
        ({"folds": 51}, r"data\.folds=51 is more than the 50 training images of given"),
        ({"folds": 5, "fold": 5}, r"data\.fold=5 must be a whole number from 0 to 4"),
        ({"folds": 5, "fold": -1}, r"from 0 to 4"),
        ({"fold": 1}, r"data\.fold=1 is one of data\.folds: give both"),
        ({"folds": 5, "validation": 10}, r"both say what validation is"),
        ({"folds": 5, "published": images(15)}, r"published with 15 validation images of its own"),
    ],
)
def test_folds_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        module(**({"validation": None} | options)).setup()


def test_a_published_validation_split_is_used_whole():
    train, val, test = parts(module(published=images(15, first=100), validation=None))
    assert sorted(train) == list(range(50))
    assert sorted(val) == list(range(100, 115))
    assert sorted(test) == list(range(50, 70))


def test_what_stands_for_a_split_is_drawn_at_random_but_the_same_for_every_seed():
    """Of an ordered file the first ones are no sample: every prefix is one, of each split, for all runs."""
    train, other = images(300, classes=300), images(200, classes=300)
    options = {"train": train, "test": other, "classes": 300, "published": other, "validation": None}

    def drawn(split, count, **others):
        data = module(**(options | others))
        return [number for batch in data.batches(split, 7, count) for number in batch.y.tolist()]

    for split, size in (("train", 300), ("val", 200), ("test", 200)):
        some = drawn(split, 60)
        assert some == drawn(split, 60, seed=5) == drawn(split, None)[:60]
        assert abs(sum(some) / 60 - size / 2) < size / 8
    data = module(**options)
    assert data.test_examples(5).y.tolist() == drawn("test", 5)
    assert numbers(data.test_dataloader()) == drawn("test", None)
    assert numbers(data.in_order("test", 7)) == list(range(200))


def test_training_rows_are_places_in_the_source():
    data = module(normal=[3, 4], contamination=0.2)
    data.setup()
    assert data.observations("train").y.tolist() == (data.train_rows % 10).tolist()


@pytest.mark.parametrize("validation", [10, 0.1])
def test_a_cut_beside_a_published_validation_split_is_refused(validation):
    with pytest.raises(ConfigurationError, match=rf"validation={validation}, but .* 15 .*=null would use"):
        module(published=images(15), validation=validation).setup()


def test_a_published_validation_split_that_is_not_there_is_refused():
    with pytest.raises(ConfigurationError, match=r"data\.validation=null asks .* given has none; a number"):
        module(validation=None).setup()


def test_a_published_validation_split_is_checked_too():
    with pytest.raises(DataError, match="validation split: labels are 0 to 9"):
        module(
            train=images(50, classes=9), test=images(9), published=images(15), classes=9, validation=None
        ).setup()


def test_a_published_validation_split_is_binarized_too():
    published = replace(images(15), x=torch.full((15, 1, 2, 4), 128, dtype=torch.uint8))
    data = module(published=published, validation=None, values=Fixed())
    assert data.val_examples(15).x.unique().tolist() == [0, 1]


def attributed(count, values=None):
    return replace(images(count), attributes=torch.rand(count, 3) if values is None else values)


def test_attributes_stay_with_their_images():
    every = attributed(50)
    data = module(train=every, test=attributed(20), attributes=3)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for batch in loader:
            pixels = batch.x.mul(255).round().long()
            number = pixels[:, 0, 0, 0] * 256 + pixels[:, 0, 0, 1]
            assert torch.equal(batch.attributes, every.attributes[number])
    assert data.test_examples(5).attributes.shape == (5, 3)


def test_attributes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"has no attributes, data\.attributes says 3; .*=null would work"):
        module(attributes=3).setup()
    with pytest.raises(DataError, match=r"have 3 attributes, data\.attributes says 2; .*=3 would work"):
        module(train=attributed(50), test=attributed(20), attributes=2).setup()
    for wrong in (-0.1, 1.1, float("nan")):
        values = torch.full((20, 3), 0.5)
        values[4, 1] = wrong
        with pytest.raises(DataError, match=r"test split: attributes are .*; scale them to 0 to 1"):
            module(train=attributed(50), test=attributed(20, values), attributes=3).setup()


def mapped(every):
    return replace(every, rows=torch.arange(len(every)), mapped=True)


@pytest.mark.parametrize("rule", [Grey(), Dynamic()])
def test_a_memory_map_gives_the_bits_of_images_in_memory_and_is_never_copied(rule):
    every, test = attributed(50), attributed(20)
    data = module(train=mapped(every), test=mapped(test), attributes=3, values=rule)
    copied = module(train=every, test=test, attributes=3, values=rule)
    for stage in ("train", "val", "test"):
        loaders = [getattr(d, f"{stage}_dataloader")() for d in (data, copied)]
        for a, b in zip(*loaders, strict=True):
            assert torch.equal(a.x, b.x)
            assert torch.equal(a.y, b.y)
            assert torch.equal(a.attributes, b.attributes)
        whole = test if stage == "test" else every
        assert loaders[0].observations.x.data_ptr() == whole.x.data_ptr()


@pytest.mark.parametrize("rule", [Grey(), Fixed()])
def test_splits_of_many_bytes_share_them_and_give_the_same_bits(rule, monkeypatch):
    copied = module(train=images(50), values=rule)
    copied.setup()
    monkeypatch.setattr(splits, "LARGE", 1)
    shared = module(train=images(50), values=rule)
    for stage in ("train", "val"):
        for a, b in zip(*(getattr(d, f"{stage}_dataloader")() for d in (copied, shared)), strict=True):
            assert torch.equal(a.x, b.x)
    assert len({shared.observations(split).x.data_ptr() for split in ("train", "val")}) == 1
    moved = shared.observations("val").to(torch.device("meta"))
    assert (len(moved), moved.rows) == (len(shared.observations("val")), None)


@pytest.mark.parametrize("rule", [Fixed(), Threshold()])
def test_a_binarization_that_would_copy_a_memory_map_is_refused(rule):
    with pytest.raises(ConfigurationError, match="values=grey or dynamic"):
        module(train=mapped(images(50)), values=rule).setup()


def test_another_shape_is_refused_with_the_one_that_works():
    with pytest.raises(
        DataError, match=r"1x2x4, data\.shape says 3x32x32; data\.shape=\[1, 2, 4\] would work"
    ):
        module(shape=[3, 32, 32]).setup()


def test_labels_beyond_the_classes_are_refused():
    with pytest.raises(DataError, match=r"test split: labels are 0 to 9, data\.classes=9 allows 0 to 8"):
        module(train=images(50, classes=9), classes=9).setup()
    negative = replace(images(50), y=torch.arange(-1, 49) % 10 - 2)
    with pytest.raises(DataError, match="labels are -2 to 7"):
        module(train=negative).setup()
    module(train=replace(images(50), y=negative.y + 1)).setup()  # -1: unknown


def test_missing_labels_are_refused_where_classes_are_declared():
    bare = Observations(images(50).x)
    with pytest.raises(DataError, match=r"data\.classes=null would work"):
        module(train=bare).setup()
    assert not module(train=bare, test=Observations(images(20).x), classes=None).has_labels
    assert module().has_labels


def test_empty_data_are_refused():
    with pytest.raises(DataError, match="test split: holds no images"):
        module(test=images(0)).setup()


@pytest.mark.parametrize("option", ["batch_size", "eval_batch_size"])
def test_a_batch_holds_at_least_one_image(option):
    with pytest.raises(ConfigurationError, match=f"data.{option}=0"):
        module(**{option: 0}).setup()


def test_checksums_are_those_of_the_source():
    data = module()
    data.setup()
    assert data.checksums == {"given": "md5:0"}


def test_examples_are_the_first_drawn_with_labels_and_the_same_noise_each_time():
    data = module(values=Dynamic())
    for examples, loader in (
        (data.val_examples, data.val_dataloader()),
        (data.test_examples, data.test_dataloader()),
    ):
        first, again = examples(5), examples(5)
        assert torch.equal(first.x, again.x)
        assert torch.equal(first.y, next(iter(loader)).y[:5])
    assert not torch.equal(data.val_examples(5).x, module(values=Dynamic(), seed=1).val_examples(5).x)
    assert len(data.test_examples(99).x) == 20


@pytest.mark.parametrize("rule", [Fixed(), Dynamic()])
def test_noise_follows_from_the_seed_the_split_and_the_place(rule):
    """Not from what is asked for beside an observation, and no two splits have the same."""
    grey = Observations(torch.full((30, 1, 2, 4), 128, dtype=torch.uint8), torch.arange(30) % 10)
    data = module(train=grey, test=grey, published=grey, validation=None, values=rule)

    def rows(split, size=7, count=None):
        return {
            int(place): row
            for batch, places in zip(
                data.batches(split, size, count), data.drawn(split, count).split(size), strict=True
            )
            for place, row in zip(places, batch.x, strict=True)
        }

    every, some = rows("test"), rows("test", 3, 11)
    assert all(torch.equal(row, every[place]) for place, row in some.items())
    for a, b in (("test", "val"), ("test", "train"), ("val", "train")):
        same = torch.stack([rows(a)[place] == rows(b)[place] for place in range(30)])
        assert 0.35 < same.double().mean() < 0.65


def test_a_fixed_binarization_does_not_depend_on_how_the_data_are_cut():
    alike = Observations(torch.full((50, 1, 2, 4), 128, dtype=torch.uint8), torch.arange(50))

    def rows(split_seed):
        data = module(train=alike, classes=50, values=Fixed(1), split_seed=split_seed)
        batches = [*data.train_dataloader(), *data.val_dataloader()]
        x, y = torch.cat([batch.x for batch in batches]), torch.cat([batch.y for batch in batches])
        return x[y.argsort()]

    assert torch.equal(rows(0), rows(1))
    assert len(rows(0).unique(dim=0)) > 20


def test_training_begins_at_the_position():
    whole = module(values=Dynamic()).train_dataloader()
    whole.set_epoch(2)
    tail = list(whole)[3:]
    data = module(values=Dynamic())
    data.position = (2, 3)
    continued = list(data.train_dataloader())
    assert len(continued) == len(tail) == 2
    assert all(torch.equal(a.x, b.x) for a, b in zip(continued, tail, strict=True))


class Recorder(pl.LightningModule):
    """Remembers what Lightning hands to each step."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.seen = {"train": [], "val": [], "test": []}

    def training_step(self, batch, index):
        self.seen["train"].append(batch.x)
        return (self.scale * batch.x).mean()

    def validation_step(self, batch, index):
        self.seen["val"].append(batch.x)

    def test_step(self, batch, index):
        self.seen["test"].append(batch.x)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def trainer(tmp_path):
    return pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )


def test_lightning_sees_each_epoch_in_its_own_order_and_the_same_evaluation(trainer):
    def data():
        return DataModule("digits", Digits(), [1, 8, 8], 10, 64, 500, 300, Pixels(), Dynamic(), 5, (0, 1))

    recorder = Recorder()
    used, expected = data(), data()
    trainer.fit(recorder, used)
    trainer.test(recorder, used, verbose=False)
    loader, batches = expected.train_dataloader(), []
    for epoch in range(3):
        loader.set_epoch(epoch)
        batches += [batch.x for batch in loader]
    whole = {
        "train": batches,
        "val": [batch.x for batch in expected.val_dataloader()] * 3,
        "test": [batch.x for batch in expected.test_dataloader()],
    }
    assert len(batches) == 3 * 19
    for stage, seen in recorder.seen.items():
        assert len(seen) == len(whole[stage])
        assert all(torch.equal(a, b) for a, b in zip(seen, whole[stage], strict=True))
