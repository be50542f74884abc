"""Each tracker is written to by a real training and read back by its own tools; none can end a run."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loggers.logger import DummyExperiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader

from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.core.errors import ConfigurationError
from aelab.figures.wav import wav
from aelab.loggers import Csv, MLflow, TensorBoard, Trackio, Wandb, new_run_id
from aelab.loggers.jsonl import JsonLines, rows
from aelab.loggers.wandb import FINISH

ALL = (Wandb, TensorBoard, MLflow, Trackio, Csv)
CONF = Path(__file__).parents[2] / "conf" / "logger"
UNREACHABLE = "http://127.0.0.1:9"
MLFLOW_VARIABLES = ("TRACKING_URI", "HTTP_REQUEST_TIMEOUT", "HTTP_REQUEST_MAX_RETRIES")
KEY = "0123456789" * 4
SOUND = wav(bytes(range(200)), 8000)


@pytest.fixture(scope="module", autouse=True)
def _no_account(tmp_path_factory):
    """Keep this machine's accounts out of the tests, and what the trackers set out of other tests."""
    import wandb

    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [key for key in os.environ if key.startswith(("WANDB_", "MLFLOW_", "TRACKIO_"))]:
            patch.delenv(name)
        for name in ("WANDB_DATA_DIR", *(f"MLFLOW_{name}" for name in MLFLOW_VARIABLES)):
            patch.setenv(name, "")
            patch.delenv(name)
        for name in ("NETRC", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "TRACKIO_DIR", "HF_HOME"):
            patch.setenv(name, str(home / name))
        yield
        wandb.teardown()


@pytest.fixture
def fresh_wandb():
    """W&B reads its environment once in a process; this makes it read again, before and after."""
    import wandb

    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "grid.png"
    Image.new("L", (4, 2), 200).save(path)
    return path


class Line(LightningModule):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        loss = (self.slope(batch) - 2 * batch).square().mean()
        self.logger.log_metrics({"train/loss": loss.item()}, self.global_step)
        self.log("train/also", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(folder, loggers, steps=3):
    data = DataLoader(torch.linspace(0, 1, 4 * steps)[:, None], batch_size=4)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(
        logger=loggers, max_epochs=1, accelerator="cpu", log_every_n_steps=1, default_root_dir=folder, **quiet
    )
    trainer.fit(Line(), data)
    return trainer


def inspect(run_dir):
    tool = Path(sys.executable).with_name("wandb")
    answer = subprocess.run([tool, "leet", "inspect", "--json", run_dir], capture_output=True, check=True)
    return [json.loads(line) for line in answer.stdout.splitlines()]


def offline_runs(folder):
    return sorted((folder / "trackers" / "wandb").glob("offline-run-*"))


def scalars(records, name):
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    return [item[name] for item in items if name in item]


def warned(caplog, tracker):
    return [r for r in caplog.records if r.name == "aelab.loggers" and tracker.__name__ in r.getMessage()]


@pytest.fixture(scope="module")
def trained(_no_account, tmp_path_factory):
    """One run of Lightning's Trainer that logs to everything at once."""
    folder = tmp_path_factory.mktemp("run")
    path = folder / "grid.png"
    Image.new("L", (4, 2), 200).save(path)
    path.with_suffix(".wav").write_bytes(SOUND)
    options = {"group": "sweep", "job_type": "train", "tags": ["small", "line"], "mode": "offline"}
    trackers = [kind(folder=folder, name="a run", run_id="abcd1234") for kind in (TensorBoard, Csv)]
    tags = ["small", "line", "aelab.run_id"]
    trackers.append(MLflow(folder, "a run", "abcd1234", group="sweep", tags=tags))
    trackers.append(Wandb(folder, "a run", "abcd1234", **options))
    for tracker in trackers:
        tracker.log_hyperparams({"model": {"latent": 16, "prior": None}, "tags": ["a"], "lr": 1e-3})
    train(folder, [JsonLines(folder, "a run", "abcd1234"), *trackers])
    for tracker in trackers:
        tracker.log_metrics({"val/elbo": -71.5, "val/odd": float("nan")}, 3)
        tracker.log_picture("samples", path, 3)
        tracker.finish(0)
    return folder, trackers


def test_the_journal_goes_through_lightning(trained):
    logged = list(rows(trained[0] / "metrics.jsonl"))
    assert [row["train/loss"] for row in logged if "train/loss" in row] != []


def test_wandb_is_read_back(trained):
    folder, trackers = trained
    (run_dir,) = offline_runs(folder)
    records = inspect(run_dir)
    run = next(record["run"] for record in records if record["type"] == "run")
    assert (run["run_id"], run["display_name"], run["run_group"]) == ("abcd1234", "a run", "sweep")
    assert (run["job_type"], run["tags"], run["project"]) == ("train", ["small", "line"], "aelab")
    assert scalars(records, "val/elbo") == [-71.5]
    assert len(scalars(records, "train/also")) == 3
    assert scalars(records, "trainer/global_step")[-1] == 3
    settings = {k: v for r in records if r["type"] == "config" for k, v in r["config"]["update"].items()}
    assert settings["model"] == {"latent": 16, "prior": None}
    assert scalars(records, "samples.width") == [4]
    ((image,),) = scalars(records, "samples.filenames")
    assert (run_dir / "files" / image).is_file()
    (sound,) = scalars(records, "samples_sound.audio")
    assert (run_dir / "files" / sound[0]["path"]).read_bytes() == SOUND
    assert records[-1]["exit"].get("exit_code", 0) == 0
    assert shlex.split(trackers[-1].hint()) == ["wandb", "sync", str(run_dir)]


def test_tensorboard_is_read_back(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained[0] / "trackers" / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("val/elbo")] == [(3, -71.5)]
    assert len(events.Scalars("train/also")) == 3
    (image,) = events.Images("samples")
    assert (image.width, image.height, image.step) == (4, 2, 3)


def mlflow_run(folder, run_id):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'trackers' / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("aelab").experiment_id
    (run,) = client.search_runs([experiment], f"tags.`aelab.run_id` = '{run_id}'")
    return client, run


def test_mlflow_is_read_back(trained):
    client, run = mlflow_run(trained[0], "abcd1234")
    assert run.data.metrics["val/elbo"] == -71.5
    assert run.data.params["model/latent"] == "16"
    assert (run.info.run_name, run.info.status) == ("a run", "FINISHED")
    filed = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    assert filed == {"small": "", "line": "", "aelab.group": "sweep", "aelab.run_id": "abcd1234"}
    assert [item.step for item in client.get_metric_history(run.info.run_id, "train/also")] == [0, 1, 2]
    stored = [item.path for item in client.list_artifacts(run.info.run_id, "images")]
    assert any(path.endswith(".png") for path in stored)
    assert (trained[0] / "trackers" / "mlflow" / "artifacts").is_dir()


def test_csv_is_read_back(trained):
    with (trained[0] / "trackers" / "csv" / "version_0" / "metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(row["step"], row["val/elbo"]) for row in table if row["val/elbo"]] == [("3", "-71.5")]
    assert len([row for row in table if row["train/also"]]) == 3


def test_only_wandb_has_a_hint(trained):
    assert [tracker.hint() for tracker in trained[1][:-1]] == [None, None, None]


def test_all_files_stay_in_the_run(trained):
    folder, trackers = trained
    assert {path.name for path in folder.iterdir()} == {"grid.png", "grid.wav", "trackers", "metrics.jsonl"}
    assert os.environ["WANDB_DATA_DIR"] == str(folder / "trackers")
    assert [tracker.save_dir for tracker in trackers] == [str(folder / "trackers")] * 4


def test_run_ids_differ():
    names = {new_run_id() for _ in range(1000)}
    assert len(names) == 1000
    assert all(re.fullmatch("[a-z0-9]{8}", name) for name in names)


def test_two_runs_of_a_process_are_two_wandb_runs(tmp_path):
    first, second = (Wandb(tmp_path / name, name, f"id-{name}", mode="offline") for name in "ab")
    for value, tracker in enumerate([first, second, first]):
        tracker.log_metrics({"x": value}, value)
    first.finish(1)
    second.log_metrics({"x": 3}, 3)
    second.finish(0)
    first.log_metrics({"x": 4}, 4)
    a, b = (inspect(*offline_runs(tmp_path / name)) for name in "ab")
    assert (scalars(a, "x"), scalars(b, "x")) == ([0, 2], [1, 3])
    assert (a[-1]["exit"]["exit_code"], b[-1]["exit"].get("exit_code", 0)) == (1, 0)


def test_a_resumed_wandb_run_keeps_its_id(tmp_path):
    for step in (1, 2):
        tracker = Wandb(tmp_path, "again", "same", mode="offline")
        tracker.log_hyperparams({"epochs": step})
        tracker.log_metrics({"x": step}, step)
        tracker.finish(0)
    parts = [inspect(run_dir) for run_dir in offline_runs(tmp_path)]
    assert sorted(scalars(part, "x")[0] for part in parts) == [1, 2]
    assert {r["run"]["run_id"] for part in parts for r in part if r["type"] == "run"} == {"same"}
    assert shlex.split(tracker.hint())[2:] == [str(path) for path in offline_runs(tmp_path)]


def test_wandb_is_offline_without_a_key(tmp_path, fresh_wandb, caplog):
    tracker = Wandb(tmp_path, "run", "one")
    tracker.log_metrics({"x": 1.0}, 0)
    tracker.finish(0)
    assert len(offline_runs(tmp_path)) == 1
    assert not [record for record in caplog.records if record.name == "aelab.loggers"]


@pytest.mark.slow
def test_an_unreachable_wandb_leaves_an_offline_run(tmp_path, fresh_wandb, monkeypatch, caplog):
    for name, value in {"API_KEY": KEY, "BASE_URL": UNREACHABLE, "INIT_TIMEOUT": "2"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    begun = time.monotonic()
    tracker = Wandb(tmp_path, "run", "one")
    tracker.log_metrics({"x": 1.0}, 0)
    tracker.log_metrics({"x": 2.0}, 1)
    tracker.finish(0)
    assert time.monotonic() - begun < 15
    assert scalars(inspect(*offline_runs(tmp_path)), "x") == [1.0, 2.0]
    (warning,) = [record for record in caplog.records if record.name == "aelab.loggers"]
    assert "logged offline: CommError" in warning.getMessage()


def test_wandb_online_without_a_key_goes_offline(tmp_path, fresh_wandb, caplog):
    tracker = Wandb(tmp_path, "run", "one", mode="online")
    tracker.log_metrics({"x": 1.0}, 0)
    tracker.finish(0)
    assert len(offline_runs(tmp_path)) == 1
    assert "UsageError" in caplog.text


def test_the_environment_can_choose_wandbs_mode(tmp_path, fresh_wandb, monkeypatch, caplog):
    for name, value in {"API_KEY": KEY, "BASE_URL": UNREACHABLE, "MODE": "offline"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    tracker = Wandb(tmp_path, "run", "one")
    tracker.log_metrics({"x": 1.0}, 0)
    tracker.finish(0)
    assert len(offline_runs(tmp_path)) == 1
    assert not [record for record in caplog.records if record.name == "aelab.loggers"]


def test_a_disabled_wandb_swallows_everything(tmp_path, picture):
    tracker = Wandb(tmp_path, "run", "one", mode="disabled")
    tracker.log_metrics({"x": 1.0}, 0)
    tracker.log_picture("samples", picture, 0)
    tracker.finish(0)
    assert tracker.hint() is None


def test_an_unknown_wandb_mode_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="'ofline': choose one of auto, online, offline, disabled"):
        Wandb(tmp_path, "run", "one", mode="ofline")


@pytest.mark.parametrize("kind", ALL)
def test_a_tracker_that_cannot_start_is_switched_off(kind, tmp_path, picture, caplog):
    (tmp_path / "trackers").write_text("in the way")
    tracker = kind(tmp_path, "run", "one")
    train(tmp_path, [tracker])
    tracker.log_hyperparams({"a": 1})
    tracker.log_picture("samples", picture, 0)
    tracker.finish(0)
    (warning,) = warned(caplog, kind)
    assert "switched off and the run goes on: FileExistsError" in warning.getMessage()
    assert isinstance(tracker.experiment, DummyExperiment)


@pytest.mark.parametrize("kind", [TensorBoard, MLflow, Wandb])
def test_a_tracker_that_fails_midway_is_switched_off(kind, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = kind(tmp_path, "run", "one")
    tracker.log_metrics({"x": 1.0}, 0)
    assert not warned(caplog, kind)
    for step in range(3):
        tracker.log_picture("samples", tmp_path / "absent.png", step)
    tracker.log_metrics({"x": 2.0}, 1)
    tracker.finish(0)
    assert len(warned(caplog, kind)) == 1


def test_a_table_that_cannot_be_written_is_switched_off(tmp_path, caplog):
    tracker = Csv(tmp_path, "run", "one")
    tracker.log_metrics({"x": 1.0}, 0)
    table = tmp_path / "trackers" / "csv" / "version_0" / "metrics.csv"
    table.unlink()
    table.mkdir()
    train(tmp_path, [tracker])
    tracker.finish(0)
    assert len(warned(caplog, Csv)) == 1


def test_a_resumed_table_loses_no_rows(tmp_path):
    for step in (1, 2):
        tracker = Csv(tmp_path, "run", "one")
        tracker.log_metrics({"x": step}, step)
    assert len(list((tmp_path / "trackers" / "csv").glob("*/metrics.csv"))) == 2


@pytest.mark.slow
def test_a_killed_wandb_service_does_not_end_the_run(tmp_path):
    """In a process of its own, for the service is shared by all runs of a process."""
    script = f"""
import os, signal, subprocess, sys
from pathlib import Path
from aelab.loggers import Wandb
tracker = Wandb(Path({str(tmp_path)!r}), "run", "one", mode="offline")
tracker.log_metrics({{"x": 1.0}}, 0)
mine = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
(service,) = [int(line.split()[0]) for line in mine.stdout.splitlines() if "wandb-core" in line]
os.kill(service, signal.SIGKILL)
for step in range(100):
    tracker.log_metrics({{"x": 1.0}}, step)
tracker.finish(0)
print("the run went on")
"""
    own = {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"}
    call = [sys.executable, "-c", script]
    answer = subprocess.run(call, env=own, capture_output=True, text=True, timeout=60)
    assert "the run went on" in answer.stdout, answer.stderr
    assert answer.stderr.count("Wandb is switched off") == 1


class FakeWandb(BaseHTTPRequestHandler):
    """As much of W&B's interface as one run needs."""

    def answer(self):
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(errors="ignore")
        project = {"id": "p", "name": "aelab", "entity": {"id": "e", "name": "me"}}
        run = {"id": "b", "name": "one", "displayName": "run", "config": "{}", "project": project}
        data = {
            "upsertBucket": {"bucket": {**run, "historyLineCount": 0}, "inserted": True},
            "createRunFiles": {"runID": "b", "uploadHeaders": [], "files": []},
            "bucket(": {**project, "bucket": None},
            "serverInfo": {"features": [], "cliVersionInfo": {}, "latestLocalVersionInfo": None},
        }
        known = next((name for name in data if name in asked), None)
        content = {} if known is None else {"model" if known == "bucket(" else known: data[known]}
        is_stream = "file_stream" in self.path
        body = json.dumps({"exitcode": None, "limits": {}} if is_stream else {"data": content}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815

    def log_message(self, *args):
        pass


@pytest.mark.slow
def test_a_wandb_server_that_dies_does_not_hold_the_run_up(tmp_path):
    """In a process of its own, where the threads that W&B leaves behind end with it."""
    script = f"""
from pathlib import Path
from aelab.loggers import Wandb
tracker = Wandb(Path({str(tmp_path)!r}), "run", "one")
tracker.log_metrics({{"x": 1.0}}, 0)
input(tracker.experiment.settings.mode)
for step in range(1, 4):
    tracker.log_metrics({{"x": 2.0}}, step)
tracker.finish(0)
print(tracker.hint())
"""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeWandb)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    own = {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"}
    own |= {"WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}", "WANDB_API_KEY": KEY}
    call, pipe = [sys.executable, "-c", script], subprocess.PIPE
    ours = {**own, "WANDB_FINISH_TIMEOUT": "2"}
    with subprocess.Popen(call, env=ours, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as run:
        assert run.stdout.read(6) == "online"
        server.shutdown()
        server.server_close()
        begun = time.monotonic()
        said, warnings = run.communicate("\n", timeout=60)
    assert time.monotonic() - begun < 20
    (run_dir,) = (tmp_path / "trackers" / "wandb").glob("run-*-one")
    assert said.splitlines()[-1] == shlex.join(["wandb", "sync", str(run_dir)])
    assert scalars(inspect(run_dir), "x") == [1.0, 2.0, 2.0, 2.0]
    assert warnings.count("W&B does not answer") == 1
    assert FINISH < 25


CALLS = []


class FakeMlflow(BaseHTTPRequestHandler):
    """As much of MLflow's REST interface as one run needs."""

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.split("?")[0].rpartition("mlflow/")[2]
        CALLS.append(name)
        info = {"run_id": "r", "experiment_id": "1", "status": "RUNNING", "artifact_uri": "/"}
        experiment = {"experiment_id": "1", "name": "aelab", "lifecycle_stage": "active"}
        body = {"experiments/get-by-name": {"experiment": experiment}, "runs/search": {"runs": []}}
        content = json.dumps(body.get(name, {"run": {"info": info}, "run_info": info})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815

    def log_message(self, *args):
        pass


def test_an_mlflow_server_that_dies_does_not_hold_the_run_up(tmp_path, caplog):
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeMlflow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tracker = MLflow(tmp_path, "run", "one", tracking_uri=f"http://127.0.0.1:{server.server_port}")
    tracker.log_metrics({"x": 1.0}, 0)
    assert "runs/log-batch" in CALLS
    assert not warned(caplog, MLflow)
    server.shutdown()
    server.server_close()
    begun = time.monotonic()
    for step in range(3):
        tracker.log_metrics({"x": 2.0}, step)
    tracker.finish(0)
    assert time.monotonic() - begun < 10
    assert len(warned(caplog, MLflow)) == 1


def test_an_unreachable_mlflow_server_does_not_hold_the_run_up(tmp_path, caplog):
    begun = time.monotonic()
    tracker = MLflow(tmp_path, "run", "one", tracking_uri=UNREACHABLE)
    train(tmp_path, [tracker])
    tracker.finish(0)
    assert time.monotonic() - begun < 15
    assert len(warned(caplog, MLflow)) == 1


def test_mlflow_follows_the_environment_and_leaves_it_as_it_is(tmp_path, monkeypatch):
    for name, uri in {"a": None, "b": f"sqlite:///{tmp_path / 'shared.db'}"}.items():
        with monkeypatch.context() as patch:
            if uri:
                patch.setenv("MLFLOW_TRACKING_URI", uri)
            tracker = MLflow(tmp_path / name, "run", name)
            tracker.log_metrics({"x": 1.0}, 0)
            assert os.environ.get("MLFLOW_TRACKING_URI", "") == (uri or "")
    assert [(tmp_path / name / "trackers/mlflow/mlflow.db").exists() for name in "ab"] == [True, False]
    assert (tmp_path / "shared.db").exists()


def test_a_resumed_mlflow_run_is_the_same_one(tmp_path, caplog):
    for step in (1, 2):
        tracker = MLflow(tmp_path, "again", "same")
        tracker.log_hyperparams({"epochs": step, f"only_{step}": True})
        tracker.log_metrics({"x": step}, step)
        tracker.finish(2 - step)
        assert mlflow_run(tmp_path, "same")[1].info.status == ["FAILED", "FINISHED"][step - 1]
    client, run = mlflow_run(tmp_path, "same")
    assert [item.value for item in client.get_metric_history(run.info.run_id, "x")] == [1, 2]
    assert run.data.params == {"epochs": "1", "only_1": "True", "only_2": "True"}
    assert not warned(caplog, MLflow)


@pytest.mark.parametrize("kind", ALL)
def test_other_ranks_touch_nothing(kind, tmp_path, picture, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    folder = tmp_path / "run"
    tracker = kind(folder, "run", "one")
    tracker.experiment.whatever("is swallowed")
    tracker.log_metrics({"x": 1.0}, 0)
    tracker.log_picture("samples", picture, 0)
    tracker.finish(0)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["wandb", "tensorboard", "mlflow", "trackio", "csv"])
def test_each_configuration_makes_a_partial_tracker(name, tmp_path):
    path = CONF / f"{name}.yaml"
    assert path.read_text().splitlines()[0] == f"# @package logger.{name}"
    make = construct(compose([f"logger={name}"]).logger[name], name)
    assert isinstance(make, partial)
    assert make(folder=tmp_path, name="run", run_id="one").version == "one"
    with pytest.raises(TypeError, match="misspelt"):
        make(folder=tmp_path, name="run", run_id="one", misspelt=1)


def test_a_trained_model_is_kept_where_that_is_asked(train):
    asked = train("logger=wandb", "logger.wandb.mode=offline", "logger.wandb.artifacts=true")
    records = [record for path in offline_runs(asked.path) for record in inspect(path)]
    (artifact,) = [record["artifact"] for record in records if record["type"] == "artifact"]
    assert (artifact["name"], artifact["type"]) == (f"model-{asked.read()['run_id']}", "model")
    assert "best" in artifact["aliases"]
    kept = {entry["path"] for entry in artifact["manifest"]["contents"]}
    assert kept == {"config.yaml", "record.json", "checkpoints/best.ckpt"}
    sources = {entry["path"]: Path(entry["local_path"]) for entry in artifact["manifest"]["contents"]}
    assert sources["checkpoints/best.ckpt"] == asked.checkpoints / "best.ckpt"  # not a copy of it
    assert sources["record.json"].read_bytes() == asked.record.read_bytes()
    largest = max(path.stat().st_size for path in asked.trackers.rglob("*") if path.is_file())
    assert largest < (asked.checkpoints / "best.ckpt").stat().st_size
    silent = train("logger=wandb", "logger.wandb.mode=offline")
    records = [record for path in offline_runs(silent.path) for record in inspect(path)]
    assert not [record for record in records if record["type"] == "artifact"]


def test_services_file_a_run_by_what_it_is():
    wandb = compose(["variant=beta_vae", "data=mnist", "seed=3"]).logger.wandb
    assert (wandb.group, wandb.job_type) == ("beta_vae_mnist", "train")
    assert wandb.tags == ["beta_vae", "mnist", "seed 3"]
    mlflow = compose(["variant=beta_vae", "data=mnist", "seed=3", "logger=mlflow"]).logger.mlflow
    assert (mlflow.group, mlflow.tags) == (wandb.group, wandb.tags)


def test_there_is_a_configuration_for_every_tracker():
    targets = {OmegaConf.load(path)["_target_"] for path in CONF.glob("*.yaml")}
    assert targets == {f"aelab.loggers.{kind.__name__}" for kind in ALL}
