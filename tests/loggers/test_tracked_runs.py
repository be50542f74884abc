"""What the trackers have of a run of this project, read back by their own tools."""

import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_trackers import _no_account, inspect, offline_runs, scalars

from aelab.loggers.jsonl import rows

__all__ = ["_no_account"]
OPTIONS = (
    "logger=[wandb,mlflow,tensorboard,trackio]",
    "logger.wandb.mode=offline",
    "pictures.every_n_epochs=1",
)


@pytest.fixture(scope="module")
def run(_no_account, train_once):
    return train_once(*OPTIONS, "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "latent=3")


def best(run):
    return max(row["val/elbo"] for row in rows(run.metrics) if "val/elbo" in row)


@pytest.fixture(scope="module")
def records(run):
    (folder,) = offline_runs(run.path)
    return inspect(folder)


def test_wandb_has_the_best_values_and_the_columns_that_runs_are_listed_by(run, records):
    summary, config = ({}, {})
    for record in records:
        for kind, found in (("summary", summary), ("config", config)):
            found |= record[kind]["update"] if record["type"] == kind else {}
    assert summary["best/elbo"] == best(run)
    assert (config["variant"], config["dataset"]) == ("vae", "digits")
    assert {"parameters", "flops_per_image"} <= config.keys()


def test_wandb_has_codes_gradients_and_captioned_pictures_of_each_epoch(records):
    assert len(scalars(records, "codes/kl_2")) == len(scalars(records, "codes/means.values")) == 2
    assert [sum(values) for values in scalars(records, "codes/kl_per_dimension.values")] == [3, 3]
    norms = scalars(records, "train/gradient_norm")
    assert len(norms) == len(scalars(records, "train/loss"))
    assert min(norms) > 0
    assert scalars(records, "samples.captions")[:2] == [["epoch 1"], ["epoch 2"]]
    assert (scalars(records, "pictures_by_epoch.nrows"), scalars(records, "pictures_by_epoch.ncols")) == (
        [2],
        [3],
    )


def test_no_name_stands_for_two_types(records):
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    names = {name for item in items for name in item}
    for name in names:
        base, dot, _ = name.rpartition("._type")
        assert not dot or (base not in names and len({item[name] for item in items if name in item}) == 1)


def test_mlflow_and_tensorboard_have_what_they_can_show(run):
    client = MlflowClient(f"sqlite:///{run.path}/trackers/mlflow/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'aelab'")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.data.params["dataset"] == "digits"
    assert found.data.metrics["best/elbo"] == pytest.approx(best(run))
    assert found.data.metrics["codes/kl_0"] >= 0
    events = EventAccumulator(str(run.path / "trackers" / "tensorboard"))
    events.Reload()
    assert {"codes/means", "codes/kl_per_dimension"} <= set(events.Tags()["histograms"])
    assert "best/elbo" in events.Tags()["scalars"]


def test_trackio_has_numbers_pictures_histograms_and_the_configuration(run):
    from trackio.sqlite_storage import SQLiteStorage

    name = f"vae_digits-{run.read()['run_id']}"
    assert name in SQLiteStorage.get_runs("aelab")  # beside those that other tests of this process left there
    config = SQLiteStorage.get_run_config("aelab", name)
    assert (config["dataset"], config["_Group"]) == ("digits", "vae_digits")
    logged = SQLiteStorage.get_logs("aelab", name)
    assert max(row["val/elbo"] for row in logged if "val/elbo" in row) == pytest.approx(best(run))
    assert [row["best/elbo"] for row in logged if "best/elbo" in row] == [pytest.approx(best(run))]
    kinds = {key: row[key]["_type"] for row in logged for key in row if isinstance(row[key], dict)}
    assert kinds["samples"] == "trackio.image"
    assert kinds["codes/means"] == "trackio.histogram"
