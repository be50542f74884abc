"""Probes as a command: a table over four spaces, which tells what was learned from what was not."""

import csv

import pytest
import torch

from aelab.cli.probe import main as probe
from aelab.config.compose import compose
from aelab.core.errors import AelabError
from aelab.evaluation.probing import unlearned
from aelab.runs.folder import Run
from aelab.runs.model import model_of

QUICK = [
    "probing.train=300",
    "probing.test=100",
    "probing.draws=2",
    "probing.epochs=1",
    "probing.per_class=[5]",
]


def test_a_command_writes_what_is_read_from_four_spaces(train_once, tmp_path):
    run = train_once()
    probe(compose([f"run={run.path}", f"to={tmp_path / 'to'}", *QUICK], "probe"))
    with (tmp_path / "to" / "probes.csv").open() as file:
        rows = {row.pop("probe"): row for row in csv.DictReader(file)}
    clusters = {"kmeans_accuracy", "kmeans_nmi", "kmeans_ari"}
    probes = {"linear_probe", "nearest_neighbours", "retrieved", "few_label_probe_5", "fine_tuned"}
    assert set(rows) == probes | clusters
    assert all(0.3 < float(rows["kmeans_accuracy"][space]) < 1 for space in ("values", "pca"))
    assert float(rows["nearest_neighbours"]["values"]) > 0.85
    assert all(0 <= float(v) <= 1 for row in rows.values() for v in row.values() if v)
    assert (tmp_path / "to" / "nearest_by_code.png").is_file()


def test_what_was_learned_is_gone_and_the_seed_decides_the_rest(train_once):
    model = model_of(Run.open(train_once().path))
    a, b, c = unlearned(model, 0), unlearned(model, 0), unlearned(model, 1)
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(a.posterior_of(x).mean, b.posterior_of(x).mean)
    assert not torch.equal(a.posterior_of(x).mean, c.posterior_of(x).mean)
    assert not torch.equal(a.posterior_of(x).mean, model.posterior_of(x).mean)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(["variant=cvae"], "the encoder is told the label"), (["variant=gan"], "no encoder")],
)
def test_what_cannot_be_probed_is_said_and_nothing_written(train_once, tmp_path, options, sentence):
    run = train_once(
        *options, base=["logger=[]", "threads=1", "trainer.max_epochs=1", "trainer.limit_train_batches=1"]
    )
    with pytest.raises(AelabError, match=sentence):
        probe(compose([f"run={run.path}", f"to={tmp_path / 'to'}", *QUICK], "probe"))
    assert not (tmp_path / "to").exists()
