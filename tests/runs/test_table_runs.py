"""Tables, from the command line to a trained model that writes rows."""

import csv

import pytest
from small import SMALL

import aelab
from aelab.cli.sample import main as sample
from aelab.config.compose import compose
from aelab.core.errors import AelabError
from aelab.runs.build import build


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
