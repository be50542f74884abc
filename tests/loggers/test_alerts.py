"""Alarms of trainings, read back from each tracker by its own tools."""

from contextlib import suppress

import pytest
from small import small
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_tracked_runs import OPTIONS
from test_trackers import _no_account, inspect, mlflow_run, offline_runs

from aelab.core.errors import NonFiniteError
from aelab.runs.folder import RunFolder

__all__ = ["_no_account"]
ALARMS = {
    "collapse": ("gan", "after step 3 samples lie"),
    "dead_codes": ("vq_vae", "after step 3 "),
    "diverged": ("vae", "the training diverged: reconstruction is nan at step 2"),
}
MADE = {"vq_vae": ["model.posterior.quantiser.codes=4096"], "vae": ["optimizer.lr=1e30"]}


@pytest.fixture(scope="module")
def runs(_no_account, train_once, tmp_path_factory):
    """A run for each alarm, by its variant."""
    before = _records(tmp_path_factory)
    for variant, _ in ALARMS.values():
        with suppress(NonFiniteError):
            train_once(*OPTIONS, f"variant={variant}", *MADE.get(variant, ()), base=small(variant))
    records = _records(tmp_path_factory) - before
    return {path.parents[1].name.removesuffix("_digits"): RunFolder.open(path.parent) for path in records}


def _records(factory):
    return set(factory.getbasetemp().glob("runs*/*/*/record.json"))


@pytest.fixture(params=ALARMS)
def alarmed(request, runs):
    """An alarm's name, the run's folder and id, and how the alarm begins."""
    variant, why = ALARMS[request.param]
    return request.param, runs[variant], runs[variant].read()["run_id"], why


def test_wandb_has_it_as_a_warning(alarmed):
    name, run, _, why = alarmed
    (alert,) = [record["alert"] for record in inspect(*offline_runs(run.path)) if record["type"] == "alert"]
    assert alert["text"].startswith(why)
    assert (alert["title"], alert["level"]) == (f"{run.path.parent.name}: {name}", "WARN")


def test_mlflow_has_it_as_a_tag(alarmed):
    name, run, run_id, why = alarmed
    assert mlflow_run(run.path, run_id)[1].data.tags[f"aelab.alarm.{name}"].startswith(why)


def test_tensorboard_has_it_as_text(alarmed):
    name, run, _, why = alarmed
    events = EventAccumulator(str(run.path / "trackers" / "tensorboard")).Reload()
    (event,) = events.Tensors(f"alarms/{name}/text_summary")
    assert event.tensor_proto.string_val[0].decode().startswith(why)


def test_trackio_has_it_as_an_alert(alarmed):
    from trackio.sqlite_storage import SQLiteStorage

    name, run, run_id, why = alarmed
    (alert,) = SQLiteStorage.get_alerts("aelab", f"{run.path.parent.name}-{run_id}")
    assert alert["text"].startswith(why)
    assert (alert["title"], alert["level"]) == (f"{run.path.parent.name}: {name}", "warn")
