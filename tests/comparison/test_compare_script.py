"""Runs that were really trained, compared as a user would; the tables that W&B keeps."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from folders import make_run
from small import SMALL

from aelab.cli.compare import main
from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(train_once):
    folders = [
        train_once(f"variant={variant}", f"seed={seed}") for variant in ("vae", "beta_vae") for seed in (0, 1)
    ]
    return folders[0].path.parents[1]


def run_script(environment, *overrides):
    command = [sys.executable, str(ROOT / "scripts" / "compare.py"), *overrides]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_trained_runs_are_compared_from_end_to_end(trained, tmp_path, script_environment):
    folder = tmp_path / "comparison"
    answer = run_script(script_environment, f"runs={trained}", f"to={folder}", "baseline=beta")
    assert answer.returncode == 0, answer.stderr
    assert "beta_vae_digits (baseline)" in answer.stdout
    with (folder / "metrics.csv").open() as file:
        rows = {(row["group"], row["metric"]): row for row in csv.DictReader(file)}
    records = [json.loads(path.read_text()) for path in sorted(trained.glob("vae_digits/*/record.json"))]
    mean = sum(record["metrics"]["test/elbo"] for record in records) / 2
    assert float(rows["vae_digits", "test/elbo"]["mean"]) == pytest.approx(mean)
    assert 0 <= float(rows["vae_digits", "test/elbo"]["p_against_baseline"]) <= 1
    assert rows["beta_vae_digits", "test/elbo"]["p_against_baseline"] == ""


def test_a_refusal_is_one_sentence_and_leaves_nothing(tmp_path, script_environment):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", data={"checksums": {"digits": "md5:2"}})
    folder = tmp_path / "comparison"
    answer = run_script(script_environment, f"runs={tmp_path}", f"to={folder}")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "different data" in answer.stderr
    assert not folder.exists()


def test_a_record_tells_what_a_training_cost(trained):
    for path in trained.glob("*/*/record.json"):
        record = json.loads(path.read_text())
        assert record["samples_seen"] == 3 * 64
        assert 0 < record["seconds"] < 60
        weights = (64 * 16, 16 * 2 * 16, 16 * 16, 16 * 64)
        # Two operations for each weight forward, and four backward but for the images' own gradient.
        assert record["flops_per_image"] == 6 * sum(weights) - 2 * weights[0]


def test_every_image_of_an_epoch_counts_also_those_of_a_short_batch(train):
    folder = train("trainer.max_epochs=2", "trainer.limit_train_batches=1.0", base=SMALL)
    settings = json.loads(folder.record.read_text())
    assert settings["samples_seen"] == 2 * training_images(folder)


def training_images(folder):
    from aelab.config.recorded import recorded_settings
    from aelab.runs.build import build

    return len(build(recorded_settings(folder.config)).data.observations("train"))


def test_wandb_keeps_the_tables(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path / "runs" / f"{seed}", seed)
    folder = tmp_path / "comparison"
    overrides = [f"runs={tmp_path / 'runs'}", f"to={folder}", "logger=wandb"]
    main(compose([*overrides, "logger.wandb.mode=offline"], "compare"))
    tables = [json.loads(path.read_text()) for path in (folder / "trackers").rglob("*.table.json")]
    heads = {tuple(table["columns"][:2]): table["data"] for table in tables}
    assert [row[0] for row in heads["group", "metric"]] == ["vae_digits", "vae_digits"]
    assert heads["group", "finished"][0][1] == 2


def test_a_tracker_without_tables_is_refused(tmp_path):
    make_run(tmp_path / "runs")
    overrides = [f"runs={tmp_path / 'runs'}", f"to={tmp_path / 'c'}", "logger=csv"]
    with pytest.raises(ConfigurationError, match="logger=csv shows no tables"):
        main(compose(overrides, "compare"))
    assert not (tmp_path / "c").exists()
