"""Detection as a part of an evaluation, and as a command."""

import csv
import json

import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import aelab
from aelab.cli.detect import main as detect
from aelab.config.compose import compose
from aelab.core.errors import AelabError
from aelab.evaluation.evaluate import main as evaluate_run
from one_class import table

ONE_CLASS = ["data.normal=0", "data.validation=0.2", "trainer.limit_train_batches=1.0"]


@pytest.fixture(scope="module")
def run(train_once):
    return train_once(*ONE_CLASS)


def configured(run, to, *overrides):
    return compose([f"run={run.path}", f"to={to}", *overrides], "detect")


def test_a_suite_measures_every_score_and_what_it_writes_gives_the_same_numbers(run):
    evaluate_run(compose([f"run={run.path}", "suite=detection", "device=cpu"], "evaluate"))
    found = json.loads(run.evaluations.read_text())["detection"]
    assert not found["left_out"]
    with (run.evaluation("detection") / "anomaly_scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    anomalous = [int(row["anomalous"]) for row in rows]
    for name in ("negative_elbo", "principal_components"):
        area = roc_auc_score(anomalous, [float(row[name]) for row in rows])
        assert found["estimates"][f"detection/auroc_{name}"]["value"] == pytest.approx(area)
    assert found["estimates"]["detection/auroc_nearest_values"]["value"] > 0.98


def test_a_command_scores_pictures_as_the_model_does(run, pictures, tmp_path):
    detect(
        configured(
            run, tmp_path / "s.csv", f"from={pictures}", f"maps={tmp_path / 'maps'}", "by=nearest_values"
        )
    )
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    images = [Image.open(pictures / f"={place}.png") for place in range(5)]
    expected = aelab.load(run.path).anomaly(images)
    assert [float(row["negative_elbo"]) for row in rows] == pytest.approx(expected.tolist(), rel=1e-4)
    assert all(row["anomalous"] == "1" and row["file"].startswith("./") for row in rows)
    assert len(list((tmp_path / "maps").iterdir())) == 5


def test_a_model_without_a_prior_is_served_by_the_other_scores(train_once, pictures, tmp_path, capsys):
    run = train_once(*ONE_CLASS, "variant=ae")
    detect(configured(run, tmp_path / "s.csv", f"from={pictures}"))
    assert "without   negative_elbo: a model without a prior" in capsys.readouterr().out
    assert (tmp_path / "s.csv").read_text().startswith("file,reconstruction_error,nearest_codes")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("by=nell", "by=nell is none of the scores"),
        ("score=[]", r"score=\[\]: name one score"),
        ("false_positives=0.001", r"a rate of 0.001 false positives must lie from"),
        ("from=/nowhere", "nowhere"),
        ("score=[likelihood_ratio]", "none of the scores is one that this model can serve"),
        ("data.root=/nowhere", "digits is read from no files"),
    ],
)
def test_what_cannot_be_detected_is_refused_and_nothing_written(run, pictures, tmp_path, override, sentence):
    with pytest.raises(AelabError, match=sentence):
        detect(configured(run, tmp_path / "s.csv", f"from={pictures}", override))
    assert not (tmp_path / "s.csv").exists()


def test_without_anomalies_there_is_nothing_to_measure(train_once):
    run = train_once()
    evaluate_run(compose([f"run={run.path}", "suite=detection", "device=cpu"], "evaluate"))
    why = json.loads(run.evaluations.read_text())["detection"]["left_out"]["detection"]
    assert "train with data.normal=CLASS" in why


def test_the_table_over_classes_has_an_interval_over_seeds_for_each_contamination():
    runs = {
        (0.0, "1"): {0: {"nll": 0.9}, 1: {"nll": 0.8}},
        (0.0, "2"): {0: {"nll": 0.7}, 1: {"nll": 0.6}},
        (0.05, "1"): {0: {"nll": 0.5, "other": 0.9}},
    }
    assert table(runs)[2:] == [
        "| 0 % | 1 | 2 | 85.0 |",
        "| 0 % | 2 | 2 | 65.0 |",
        "| 5 % | 1 | 1 | 50.0 |",
        "| 0 % | all | 2 | 75.00 ± 63.53 |",  # 12.706 standard errors of two means, 80 and 70
        "| 5 % | all | 1 | 50.00 |",
    ]
