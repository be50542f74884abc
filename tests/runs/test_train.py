"""A run from beginning to end: what it writes, that it repeats itself, and how it fails."""

import json
import os
import signal
import time
from pathlib import Path

import forks
import pytest
import torch
from PIL import Image
from small import SMALL

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError, DataError, NonFiniteError, ResumeError, RunError
from aelab.core.signals import Signals, Terminated
from aelab.loggers.jsonl import rows
from aelab.metrics.estimands import ELBO
from aelab.runs import train as training
from aelab.runs.build import build
from aelab.runs.folder import Run, RunFolder, Status
from aelab.training.checkpoint_io import AtomicCheckpointIO
from aelab.training.checkpoints import load, resume_points

ROOT = Path(__file__).parents[2]


def weights(run):
    return load(resume_points(run.checkpoints)[0])["state_dict"]


def test_a_run_leaves_a_full_record(train):
    run = train("trainer.log_every_n_steps=1", "pictures.every_n_epochs=1")
    record = run.read()
    assert record["status"] == "finished"
    assert record["exit_code"] == 0
    assert {"command", "git", "packages", "hardware", "threads", "data", "seed", "run_id"} <= record.keys()
    assert record["data"]["checksums"]
    assert record["quantities"].keys() == record["metrics"].keys()
    assert record["quantities"]["test/elbo"] == ELBO.per("image").facts()
    assert record["packages"]["torch"].startswith(torch.__version__.split("+")[0])
    assert run.config.is_file()
    assert {p.name for p in run.pictures.iterdir()} == {
        f"{prefix}{name}.png" for prefix in ("", "epoch_0001_") for name in ("reconstructions", "samples")
    }


def test_everything_that_is_promised_is_logged(train):
    run = train("trainer.log_every_n_steps=1", "lr_schedule=cosine", "objective/penalty=l2")
    logged = {key for row in rows(run.metrics) for key in row}
    assert {
        "train/reconstruction", "train/kl", "train/l2", "train/loss", "train/learning_rate", "weight/kl",
        "val/elbo", "val/kl", "val/distortion", "val/bits_per_dim", "val/mse", "val/psnr", "val/active_units",
        "test/elbo",
    } <= logged  # fmt: skip
    assert not any(key.startswith("time/") for key in logged)
    speeds = [row["time/samples_per_second"] for row in rows(run.timing)]
    assert speeds
    assert all(speed > 0 for speed in speeds)
    assert [r["step"] for r in rows(run.metrics) if "train/loss" in r] == [1, 2, 3]


def test_the_logged_loss_is_the_weighted_sum_of_the_logged_terms(train):
    run = train("trainer.log_every_n_steps=1", "objective/penalty=[l1]", "variant=beta_vae")
    for row in (r for r in rows(run.metrics) if "train/loss" in r):
        total = sum(row[f"weight/{name}"] * row[f"train/{name}"] for name in ("reconstruction", "kl", "l1"))
        assert row["train/loss"] == pytest.approx(total, rel=1e-6)
        assert row["weight/kl"] == 4


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(train):
    overrides = ["values=dynamic", "corruption=masking"]
    first, again, other = train(*overrides), train(*overrides), train(*overrides, "seed=1")
    assert first.metrics.read_bytes() == again.metrics.read_bytes()
    assert all(torch.equal(v, weights(again)[k]) for k, v in weights(first).items())
    assert not all(torch.equal(v, weights(other)[k]) for k, v in weights(first).items())


def test_pictures_show_the_same_images_with_and_without_a_label(train):
    one, other = train("variant=vae"), train("variant=cvae")
    rows_of = [
        Image.open(run.pictures / "reconstructions.png").crop((80, 0, 900, 60)) for run in (one, other)
    ]
    assert rows_of[0].tobytes() == rows_of[1].tobytes()
    samples = Image.open(other.pictures / "samples.png")
    assert samples.width > 10 * 56  # a column for each of the ten classes


def test_a_denoising_run_shows_the_corrupted_input(train):
    plain, denoising = train("variant=ae"), train("variant=denoising_ae")
    heights = [Image.open(run.pictures / "reconstructions.png").height for run in (plain, denoising)]
    assert heights[1] > heights[0]


def test_clipping_bounds_what_a_step_changes(train):
    still = train("training.gradient_clip_val=1e-9", "optimizer=sgd", "optimizer.momentum=0")
    config = compose([*SMALL, "optimizer=sgd"])
    initial = build(config).training.state_dict()
    assert all(torch.allclose(v, initial[k], atol=1e-8) for k, v in weights(still).items())


def test_accumulation_counts_optimisation_steps(train):
    run = train("training.accumulate_grad_batches=2", "trainer.log_every_n_steps=1")
    assert load(resume_points(run.checkpoints)[0])["global_step"] == 2  # of 3 batches, the last alone


def test_early_stopping_stops(train):
    run = train(
        "trainer.max_epochs=50", "callback=early_stopping", "callbacks.early_stopping.patience=1",
        "optimizer=sgd", "optimizer.lr=1e-12",
    )  # fmt: skip
    epochs = {row["epoch"] for row in rows(run.metrics)}
    assert max(epochs) < 5


def test_the_average_of_the_weights_is_what_is_tested_and_kept(train):
    run = train("callback=ema", "callbacks.ema.decay=0.5", "trainer.limit_train_batches=1.0")
    best, last = load(run.checkpoints / "best.ckpt"), load(resume_points(run.checkpoints)[0])
    raw, average = last["current_model_state"], best["state_dict"]
    assert any(not torch.equal(v, raw[k]) for k, v in average.items())
    values = {k: v for row in rows(run.metrics) for k, v in row.items() if k.startswith("val/")}
    parts = build(compose([*SMALL, "trainer.limit_train_batches=1.0"]))
    parts.training.load_state_dict(average)
    model = parts.training.model.eval()
    batch = parts.data.val_examples(300)
    assert model(batch).likelihood.mean[0].sub(batch.x).square().mean().item() == pytest.approx(
        values["val/mse"], rel=0.02
    )


@pytest.mark.slow
def test_compiled_networks_train_to_the_same_numbers(train):
    plain, compiled = train(), train("training.compile=networks")
    a, b = (run.read()["metrics"] for run in (plain, compiled))
    assert a == pytest.approx(b, rel=1e-4)


def test_a_diverging_loss_names_step_and_term_and_saves_nothing_of_it(train, tmp_path):
    with pytest.raises(NonFiniteError, match=r"reconstruction is (nan|inf) at step \d"):
        train("optimizer=sgd", "optimizer.lr=1e9", "trainer.max_epochs=3")
    (record,) = tmp_path.rglob("record.json")
    run = RunFolder(record.parent)
    assert run.status is Status.FAILED
    assert "reconstruction" in run.read()["error"]
    for path in run.checkpoints.glob("*.ckpt"):
        assert all(v.isfinite().all() for v in load(path)["state_dict"].values())


@pytest.mark.parametrize(
    ("overrides", "error", "sentence"),
    [
        (["latent=0"], ConfigurationError, "at least 1"),
        (["latent=-2"], ConfigurationError, "at least 1"),
        (["data.shape=[1,28,28]"], DataError, r"data.shape=\[1, 8, 8\] would work"),
        (["variant=cvae", "data.classes=null"], ConfigurationError, "needs labels"),
        (["prior=conditional"], ConfigurationError, "condition=label"),
        (["variant=ae", "objective=elbo"], ConfigurationError, "posterior=diagonal_gaussian"),
        (["trainer=gpu"], ConfigurationError, "trainer=cpu"),
        (["trainer.precision=16-mixed"], ConfigurationError, "bf16-mixed"),
        (["trainer.precision=half"], ConfigurationError, "32-true"),
        (["trainer.max_epochs=0"], ConfigurationError, "trainer.max_epochs"),
        (["data.batch_size=0"], ConfigurationError, "at least 1"),
        (["objective.samples=0"], ConfigurationError, "at least 1"),
        (["monitor.metric=val/elbow"], ConfigurationError, "val/elbo"),
        (["likelihood=gaussian", "model.likelihood.scale=-1"], ConfigurationError, "above 0"),
        (["optimizer.lr=-1"], ConfigurationError, "learning rate"),
        (["resume_points.keep=0"], ConfigurationError, "at least 1"),
        (["pictures.every_n_epochs=0"], ConfigurationError, "null draws at the end"),
        (["pictures.columns=1"], ConfigurationError, "at least 2"),
        (["seed=-1"], ConfigurationError, "a seed lies between"),
        (["corruption=gaussian", "model.corruption.scale=-1"], ConfigurationError, "not negative"),
        (["lr_schedule=cosine", "lr_schedule.warmup=-1"], ConfigurationError, "at least 0"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_a_run_exists(train, tmp_path, overrides, error, sentence):
    if overrides == ["trainer=gpu"] and torch.accelerator.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(error, match=sentence):
        train(*overrides)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_output_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file"):
        training.train(compose([*SMALL, f"outputs={tmp_path}/file/outputs"]), Signals())


def test_a_tracker_that_dies_does_not_end_the_run(train, caplog):
    run = train("logger=mlflow", "logger.mlflow.tracking_uri=http://127.0.0.1:9")
    assert run.status is Status.FINISHED
    assert "MLflow is switched off" in caplog.text


def test_a_finished_run_is_left_alone(train, capsys):
    run = train()
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file()}
    assert training.resume(Run.open(run.path), Signals()) == run.read()["metrics"]
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file()} == before
    assert "nothing to do" in capsys.readouterr().out


def killed(run):
    run.update(status=Status.KILLED)
    return run


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(train, capsys):
    run = train("resume_points.every_batches=1", "trainer.limit_train_batches=1.0")
    whole = run.metrics.read_bytes(), weights(run)
    newest, *older = resume_points(run.checkpoints)
    assert older
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    training.resume(Run.open(killed(run).path), Signals())
    assert f"{newest.name} is damaged" in capsys.readouterr().err
    assert run.metrics.read_bytes() == whole[0]
    assert all(torch.equal(v, weights(run)[k]) for k, v in whole[1].items())


def test_a_run_without_a_usable_checkpoint_says_so(train):
    run = killed(train())
    for path in resume_points(run.checkpoints):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ResumeError, match=r"no usable checkpoint \(1 damaged\)"):
        training.resume(Run.open(run.path), Signals())


@pytest.mark.parametrize("difference", ["objective.terms.kl.weight=2", "latent=3"])
def test_another_runs_checkpoint_is_refused_before_it_is_loaded(train, difference):
    """Also of equal shapes, where nothing but the fingerprint can tell."""
    one, other = killed(train()), train(difference)
    for path in resume_points(one.checkpoints):
        path.unlink()
    stranger = resume_points(other.checkpoints)[0]
    (one.checkpoints / stranger.name).write_bytes(stranger.read_bytes())
    with pytest.raises(ResumeError, match="another configuration"):
        training.resume(Run.open(one.path), Signals())


@pytest.mark.parametrize("content", [{}, {"callbacks": [1]}, {"callbacks": {"ResumePoints": None}}])
def test_a_checkpoint_of_no_training_is_refused(train, content):
    run = killed(train())
    for path in resume_points(run.checkpoints):
        AtomicCheckpointIO().save_checkpoint(content, path)
    with pytest.raises(ResumeError, match="another configuration"):
        training.resume(Run.open(run.path), Signals())


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run folder"):
        training.resume(Run.open(tmp_path), Signals())


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_with_a_checkpoint_and_its_exit_code(tmp_path, script_environment, signum, code):
    overrides = [*SMALL, "trainer.max_epochs=100000", f"outputs={tmp_path}", "pictures.every_n_epochs=100000"]
    script = forks.start(ROOT / "scripts/train.py", *overrides, env=script_environment)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("best.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(script.pid, signum)
    done = script.wait(60)
    assert done.returncode == code
    (record,) = tmp_path.rglob("record.json")
    run = RunFolder.open(record.parent)
    assert (run.status, run.read()["exit_code"]) == (Status.KILLED, code)
    assert f"resume={run.path}" in done.stderr
    assert load(resume_points(run.checkpoints)[0])["global_step"] > 0


def test_signals_wait_for_the_end_of_a_step_but_only_once(monkeypatch):
    monkeypatch.setattr("aelab.core.signals.ECHO", 0.0)
    with Signals() as signals:
        signals.deferred = True
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        with pytest.raises(Terminated) as second:
            signal.raise_signal(signal.SIGTERM)
        assert second.value.code == 143


def test_a_signal_after_the_last_resume_point_ends_the_run_too(train, tmp_path):
    with pytest.raises(Terminated):
        train("+callbacks.late._target_=probing.Terminate")
    (record,) = tmp_path.rglob("record.json")
    run = RunFolder.open(record.parent)
    assert (run.status, run.read()["exit_code"]) == (Status.KILLED, 143)


def test_the_composed_configuration_is_frozen_with_the_run(train):
    run = train("objective.terms.kl.weight=0.125")
    assert "weight: 0.125" in run.config.read_text()
    assert "${" not in run.config.read_text()
    assert json.loads(run.record.read_text())["command"]


def test_a_moved_run_resumes_to_the_same_end(train, tmp_path):
    """Its best weights come before the resume, so that they must be found in the new place."""
    run = killed(train("resume_points.every_batches=1", "trainer.max_epochs=2", "monitor.mode=min"))
    (tmp_path / "elsewhere").mkdir()
    moved = RunFolder(run.path.rename(tmp_path / "elsewhere" / "copy"))
    newest = resume_points(moved.checkpoints)[0]
    newest.unlink()
    before = moved.read()["metrics"]
    assert training.resume(Run.open(moved.path), Signals()) == before


@pytest.mark.parametrize(
    ("damage", "kind", "sentence"),
    [
        (lambda run: run.config.unlink(), RunError, "cannot be read"),
        (lambda run: run.config.write_text("a: [b"), RunError, "cannot be read"),
        (lambda run: run.record.write_text("{"), RunError, "damaged"),
    ],
)
def test_a_damaged_run_folder_says_what_is_wrong(train, damage, kind, sentence):
    run = killed(train())
    damage(run)
    with pytest.raises(kind, match=sentence):
        training.resume(Run.open(run.path), Signals())


def test_a_rate_schedule_ends_with_the_steps_where_epochs_have_no_end(train):
    run = train(
        "lr_schedule=linear", "trainer.max_epochs=-1", "trainer.max_steps=4", "trainer.log_every_n_steps=1"
    )
    rates = [row["train/learning_rate"] for row in rows(run.metrics) if "train/learning_rate" in row]
    assert rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])
