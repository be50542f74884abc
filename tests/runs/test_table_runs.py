"""Tables, from the command line to a trained model that writes rows."""

import csv

import pytest
from small import SMALL

import aelab
from aelab.cli.encode import main as encode
from aelab.cli.sample import main as sample
from aelab.config.compose import compose
from aelab.core.errors import AelabError
from aelab.runs.build import build
from aelab.runs.data import data_of
from aelab.runs.folder import Run


def test_a_table_with_holes_is_trained_loaded_evaluated_and_sampled(train, evaluate, tmp_path):
    path = tmp_path / "mine.csv"
    lines = [f"{i % 7},{'ab'[i % 2]},{'' if i % 5 == 0 else i / 10}" for i in range(120)]
    path.write_text("\n".join(["age,job,pay", *lines]))
    run = train("variant=tvae", "data=table", f"data.root={path}")
    assert {"test/elbo", "test/column_error"} <= set(run.read()["metrics"])
    model = aelab.load(run.path)
    row = {"age": 3, "job": "a"}
    assert model.encode([row]).shape == (1, model.latent)
    assert model.log_prob([row], samples=5).isfinite().all()
    assert model.reconstruct([row, row]).isfinite().all()
    sample(compose(["device=cpu", f"run={run.path}", "count=5", f"to={tmp_path / 'new'}"], "sample"))
    rows = list(csv.DictReader((tmp_path / "new/rows.csv").open()))
    assert len(rows) == 5
    assert all(row["job"] in ("a", "b") and float(row["age"]).is_integer() for row in rows)
    found = evaluate(run)
    assert not [why for why in found["left_out"].values() if why.startswith("failed")]
    assert found["estimates"]["reconstruction/column_error"]["value"] > 0


def test_a_column_of_classes_is_told_and_is_no_part_of_a_row(train, evaluate, tmp_path):
    path, partly = tmp_path / "mine.csv", tmp_path / "partly.csv"
    lines = [f"{i % 7};{('no', 'yes')[i % 2]};{(i % 2) + i / 1000}" for i in range(200)]
    path.write_text("\n".join(["age;bought;pay", *lines]))
    partly.write_text("\n".join(["age;bought;pay", *lines[:180], *("1;;0" for _ in lines[180:])]))
    run = train(
        "variant=tvae", "data=table", f"data.root={path}", "data.source.label=bought", "condition=label"
    )
    model = aelab.load(run.path)
    assert model.sample(2, y=["yes", "no"]).shape == (2, 2)
    sample(compose(["device=cpu", f"run={run.path}", "each=2", f"to={tmp_path / 'new'}"], "sample"))
    assert next(csv.DictReader((tmp_path / "new/rows.csv").open())).keys() == {"age", "pay"}
    given = [f"from={path}", "label=yes", f"to={tmp_path / 'z.npz'}"]
    encode(compose(["device=cpu", f"run={run.path}", *given], "encode"))
    other = train("variant=tvae", "data=table", f"data.root={partly}", "data.source.label=bought")
    every = [data_of(Run.open(other.path)).observations(split) for split in ("train", "val", "test")]
    assert sum(int((each.y < 0).sum()) for each in every) == 20
    assert all((each.x[:, 1][each.y >= 0].int() == each.y[each.y >= 0]).all() for each in every)
    found = evaluate(other)["estimates"]
    assert {"representation/linear_probe", "generation/column_distance"} <= found.keys()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["variant=tvae", "corruption=gaussian"], "corruption=none"),
        (["variant=tvae", "likelihood=gaussian"], "leave it as data=wine_table chooses it"),
        (["variant=tvae", "prior=vamp"], "prior=exemplar"),
        (["data=table", "data.root=/nowhere.csv"], "must name a table"),
    ],
)
def test_what_does_not_fit_a_table_is_refused(overrides, sentence):
    with pytest.raises(AelabError, match=sentence) as refusal:
        build(compose([*SMALL, *overrides]))
    assert len(str(refusal.value).splitlines()) == 1
