"""Whom an evaluation tells: trackers at the user's addresses, by the run's id, with its own verdict."""

import os
import shutil
from urllib.request import url2pathname

import mlflow
import pytest
from omegaconf import OmegaConf
from servers import Listener, start
from small import only, rewrite

from aelab.config.compose import compose
from aelab.core.errors import AelabError, RunError
from aelab.evaluation.publish import trackers_of
from aelab.runs.folder import Run, RunFolder, Status

SHORT = only("reconstruction")


@pytest.fixture(scope="module")
def run(train_once):
    return train_once()


@pytest.fixture
def copy(run, tmp_path):
    return RunFolder.open(shutil.copytree(run.path, tmp_path / "copy" / "run"))


@pytest.fixture
def listener(tmp_path, monkeypatch):
    """The address of a stranger's server, and a user who has a token."""
    Listener.heard.clear()
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    server = start(tmp_path, Listener)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A database of MLflow's that holds nothing yet: to make its tables takes two seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def logged(folder, **changes):
    """Give a run loggers with changes to their options, as `mlflow__tracking_uri`."""
    config = OmegaConf.load(folder.config)
    config.logger = compose([f"logger=[{','.join({key.split('__')[0] for key in changes})}]"]).logger
    for key, value in changes.items():
        OmegaConf.update(config.logger, key.replace("__", "."), value, force_add=True)
    return rewrite(folder, config)


def chosen(*overrides):
    return compose(["run=none", *overrides], "evaluate").logger


def test_a_server_that_the_folder_names_hears_nothing_until_the_user_names_it(
    copy, evaluate, listener, capsys
):
    logged(copy, mlflow__tracking_uri=listener)
    evaluate(copy, *SHORT)
    assert Listener.heard == []
    assert "logger.mlflow is not told: the folder names tracking_uri=" in capsys.readouterr().err
    evaluate(copy, *SHORT, f"logger.mlflow.tracking_uri={listener}")
    assert Listener.heard[0][1] == "Bearer secret"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("wandb__project", "theirs"),
        ("wandb__entity", "theirs"),
        ("mlflow__experiment", "theirs"),
        ("mlflow__tracking_uri", "sqlite:////tmp/theirs.db"),
        ("mlflow__tracking_uri", {"a": 1}),
    ],
)
def test_no_tracker_with_an_address_of_the_folder_s_is_made(copy, key, value, capsys):
    run = Run.open(logged(copy, **{key: value}).path)
    assert trackers_of(run, chosen()) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not told" in line
    if isinstance(value, str):
        assert len(trackers_of(run, chosen(f"logger.{key.replace('__', '.')}={value}"))) == 1


def test_other_options_are_the_recorded_ones_where_the_command_line_is_silent(copy):
    run = Run.open(logged(copy, wandb__mode="disabled", wandb__tags=["a"], wandb__folder="/x").path)
    (tracker,) = trackers_of(run, chosen())
    assert (tracker._mode, tracker._filing["tags"]) == ("disabled", ["a"])
    assert tracker.save_dir == str(copy.trackers)
    (tracker,) = trackers_of(run, chosen("logger.wandb.mode=offline"))
    assert tracker._mode == "offline"


@pytest.mark.parametrize("node", [3, ["csv"], {"csv": 3}, {"csv": None}])
def test_loggers_that_are_none_are_refused(copy, evaluate, node):
    config = OmegaConf.load(copy.config)
    config.logger = node
    rewrite(copy, config)
    with pytest.raises(RunError, match="trackers=false"):
        evaluate(copy, *SHORT)
    assert "reconstruction/mse" in evaluate(copy, *SHORT, "trackers=false")["estimates"]


def test_an_mlflow_database_that_keeps_its_pictures_elsewhere_is_left_alone(
    copy, evaluate, listener, tmp_path, caplog, tables
):
    (copy.trackers / "mlflow").mkdir()
    client = mlflow.MlflowClient(f"sqlite:///{shutil.copy(tables, copy.trackers / 'mlflow')}")
    experiment = client.create_experiment("aelab", (tmp_path / "outside").as_uri())
    client.create_run(experiment, tags={"aelab.run_id": copy.read()["run_id"]})
    logged(copy, mlflow__experiment="aelab")
    evaluate(copy, *only("likelihood"))
    assert not (tmp_path / "outside").exists()
    assert "MLflow is switched off" in caplog.text
    assert "MLFLOW_TRACKING_URI" not in os.environ or not os.environ["MLFLOW_TRACKING_URI"]


def test_the_pictures_of_a_run_s_own_database_lie_beside_it(copy, evaluate, listener, caplog):
    logged(copy, mlflow__experiment="aelab")
    evaluate(copy, *only("likelihood"))
    assert "switched off" not in caplog.text
    client = mlflow.MlflowClient(f"sqlite:///{copy.trackers / 'mlflow' / 'mlflow.db'}")
    (found,) = client.search_runs(["1"])
    assert found.info.artifact_uri.startswith(copy.trackers.as_uri())
    assert "likelihood/elbo" in "".join(found.data.metrics)
    assert url2pathname(found.info.artifact_uri)
    assert list((copy.trackers / "mlflow" / "artifacts").rglob("*.png"))


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        ("finished", 0, "FINISHED"),
        ("failed", 1, "FAILED"),
        ("killed", 143, "FAILED"),
        ("killed", None, "FAILED"),
        ("failed", "x", "FAILED"),
    ],
)
def test_the_verdict_on_a_run_stays_what_it_was(copy, evaluate, listener, tables, status, code, verdict):
    (copy.trackers / "mlflow").mkdir()
    shutil.copy(tables, copy.trackers / "mlflow")
    logged(copy, mlflow__experiment="aelab").update(status=status, exit_code=code, steps="many")
    evaluate(copy, *SHORT)
    client = mlflow.MlflowClient(f"sqlite:///{copy.trackers / 'mlflow' / 'mlflow.db'}")
    assert [found.info.status for found in client.search_runs(["1"])] == [verdict]


def test_the_trackers_of_a_run_under_way_are_not_told(copy, evaluate, capsys):
    elsewhere = {"host": "elsewhere", "pid": 1, "started": "1"}
    logged(copy, csv__name=None).update(status=Status.RUNNING, process=elsewhere)
    assert evaluate(copy, *SHORT)["status"] == "running"
    assert "still under way" in capsys.readouterr().err
    assert not list(copy.trackers.rglob("*.csv"))


@pytest.mark.parametrize("run_id", [None, 3, "", "../../x", "a/b", "x" * 1_000_000, "a b", "x\n"])
def test_a_run_id_that_is_none_is_refused_before_anything_is_measured(copy, evaluate, run_id):
    logged(copy, csv__name=None).update(run_id=run_id)
    with pytest.raises(AelabError, match="run_id") as refusal:
        evaluate(copy, "+suite.parts.broken._target_=probing.Broken")
    assert len(str(refusal.value)) < 500
    assert not copy.evaluations.exists()


def test_data_are_downloaded_from_where_conf_says(copy, evaluate, listener, tmp_path, monkeypatch):
    """A data set of one's own has no address there."""
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    config = OmegaConf.load(copy.config)
    config.data = compose(["data=mnist", f"data.source.mirrors=[{listener}]"]).data
    config.data.name = config.data.source.name = "strange"
    rewrite(copy, config)
    with pytest.raises(AelabError, match="strange"):
        evaluate(copy, *SHORT)
    assert Listener.heard == []
