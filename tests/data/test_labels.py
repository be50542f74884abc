"""Labels that some images lack: which keep theirs, what batches hold, who refuses or leaves them out."""

import pytest
import torch
from small import SMALL, only

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Sizes
from aelab.data.labels import Labelled
from aelab.data.loader import TrainLoader
from aelab.data.splits import Observations
from aelab.data.values import Grey
from aelab.loggers.jsonl import rows
from aelab.models.conditions import OneHot
from aelab.runs.build import build, data_module

CLASSIFIER = "+objective.terms.label._target_=toys.Classifier"


def images(count=103, classes=5):
    y = torch.randint(classes, (count,), generator=torch.Generator().manual_seed(1))
    return Observations(torch.arange(count, dtype=torch.uint8)[:, None, None, None], y)


def loader(share, rank=0, ranks=1, seed=0, size=10):
    labelled = Labelled(20, 0, share, 5)
    place = {"rank": rank, "world_size": ranks, "labelled": labelled}
    return TrainLoader(labelled.hide(images()), Grey(), size, seed=seed, stage="t", **place)


def test_as_many_of_each_class_keep_their_label():
    whole, hidden = images(), Labelled(20, 0, None, 5).hide(images())
    kept = hidden.y >= 0
    assert hidden.y[kept].bincount().tolist() == [4] * 5
    assert hidden.y[kept].equal(whole.y[kept])
    assert set(hidden.y[~kept].tolist()) == {-1}
    assert hidden.x.equal(whole.x)


def test_which_ones_is_a_function_of_a_seed_of_its_own():
    one, again, other = (Labelled(20, seed, None, 5).hide(images()).y for seed in (0, 0, 1))
    assert one.equal(again)
    assert not one.equal(other)


def test_labels_that_the_source_lacks_are_not_counted():
    lacking = Observations(images().x, images().y.where(torch.arange(103) % 2 == 0, -1))
    hidden = Labelled(20, 0, None, 5).hide(lacking)
    kept = hidden.y >= 0
    assert hidden.y[kept].bincount().tolist() == [4] * 5
    assert (lacking.y[kept] >= 0).all()


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("share", [0.3, 0.5])
def test_every_batch_of_every_process_holds_its_share(share, ranks):
    each = round(share * 10)
    for rank in range(ranks):
        for batch in loader(share, rank, ranks):
            assert (batch.y[:each] >= 0).all()
            assert (batch.y[each:] == -1).all()


def test_the_order_is_a_function_of_seed_and_epoch_and_serves_every_labelled_image_alike():
    one, again, other = (loader(0.5, seed=seed) for seed in (0, 0, 1))
    assert one.order(3).equal(again.order(3))
    assert not one.order(3).equal(one.order(4))
    assert not one.order(3).equal(other.order(3))
    known = one.observations.y[one.order(0)] >= 0
    times = one.order(0)[known].bincount(minlength=103)[one.observations.y >= 0]
    assert times.max() - times.min() <= 1
    assert one.order(0)[~known].unique().numel() == (~known).sum()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["data.labelled=15"], "data.labelled=15 .* multiple"),
        (["data.labelled=0"], "data.labelled=0"),
        (
            ["data.labelled=5000"],
            r"500 labels of each class, and of one there are \d+: at most \d+",
        ),
        (["data.labelled=20", "data.classes=null"], "data.classes is None"),
        (["data.labelled=20", "data.labelled_share=1"], "between 0 and 1"),
        (["data.labelled=20", "data.labelled_share=0.001"], "of which there are 20 and 1180"),
        (["data.labelled_share=0.5"], "of which there are 1200 and 0"),
        (["data.labelled=20", "condition=label"], r"1,180 of 1,200 are unknown"),
    ],
)
def test_what_cannot_be_had_is_refused_before_training(options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        build(compose([*SMALL, *options]))


def test_a_label_that_is_needed_for_each_observation_is_asked_for():
    with pytest.raises(ConfigurationError, match="1 of 3 are unknown"):
        OneHot(Sizes(classes=4)).check(Batch(torch.zeros(0), torch.tensor([0, -1, 3])))


def test_few_labels_are_learned_from(train):
    run = train(
        "data.labelled=100", "data.labelled_share=0.5", CLASSIFIER, "+objective.terms.label.weight=30",
        "trainer.max_epochs=12", "trainer.limit_train_batches=1.0", "trainer.log_every_n_steps=19",
        "optimizer.lr=3e-3",
    )  # fmt: skip
    found = [row["train/label"] for row in rows(run.metrics) if "train/label" in row]
    assert found[-1] < 0.5 * found[0]
    y = data_module(compose([*SMALL, "data.labelled=100"])).observations("train").y
    assert (y >= 0).sum() == 100


def test_probes_are_fitted_to_known_labels_alone(train, evaluate):
    run = train("data.labelled=100")
    estimates = evaluate(run, *only("representation"), "suite.parts.representation.train=100")["estimates"]
    assert 0.1 < estimates["representation/linear_probe"]["value"] < 1
