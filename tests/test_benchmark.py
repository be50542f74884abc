"""What scripts/benchmark.py refuses, and that a measurement of any composition ends in a verdict."""

import json
import os
import subprocess
import sys
from pathlib import Path

import forks
import pytest

SCRIPT = Path(__file__).parents[1] / "scripts/benchmark.py"


def benchmark(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("variant=nope", "unknown variant 'nope'"),
        ("data=mnist", "the images are synthetic"),
        ("a=,", "input"),
    ],
)
def test_what_cannot_be_measured_is_refused(override, reason):
    done = forks.run(SCRIPT, override, env=os.environ)
    assert done.returncode == 2
    assert reason in done.stderr


@pytest.mark.slow
def test_a_sweep_is_measured_line_by_line(tmp_path):
    report = tmp_path / "report.json"
    done = benchmark("variant=ae,cvae", "latent=2", "--rounds", "1", "--steps", "50", "--json", str(report))
    assert done.returncode in (0, 2)  # 2: too noisy to trust
    shares = json.loads(report.read_text())["of_bare_loop"]
    assert list(shares) == ["variant=ae latent=2", "variant=cvae latent=2"]
    assert all(share["aelab, logging on"] > 0.1 for share in shares.values())
    assert "reached" in done.stdout


@pytest.mark.slow
def test_what_a_sweep_costs_is_measured():
    done = benchmark("--trials", "5", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "5      │ 2" in done.stdout
    assert "times as fast" in done.stdout


def test_a_gpu_is_refused_where_there_is_none():
    done = forks.run(SCRIPT, "--gpu", env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert "torch finds no CUDA here; --device cpu" in done.stderr


@pytest.mark.slow
def test_the_measurement_of_a_gpu_is_rehearsed_on_a_cpu(tmp_path):
    report, shorter = tmp_path / "report.json", ("--models", "tiny", "--steps", "50", "--rounds", "1")
    done = benchmark("--gpu", "--device", "cpu", *shorter, "--members", "1", "2", "--json", str(report))
    assert done.returncode == 0, done.stderr
    assert "no CUDA graphs and no kernels" in " ".join(done.stdout.split())
    (seconds,) = json.loads(report.read_text())["results"]["tiny"]["rounds"]
    assert "floor in a CUDA graph" not in seconds
    assert {"aelab's loop, images in a memory map", "aelab, logging off, bf16", "2 members together"} <= {
        *seconds
    }
    assert all(0 < value < 1 for value in seconds.values())


@pytest.mark.parametrize("more", [["--models", "mlp_512"], ["--bf16"], ["variant=ae"]])
def test_what_the_measurement_of_a_gpu_does_not_read_is_refused(more):
    done = benchmark("--gpu", "--device", "cpu", *more)
    assert done.returncode == 2
    assert "error: --gpu measures" in done.stderr


@pytest.mark.parametrize(
    ("spans", "covered"),
    [([], 0), ([(0, 2), (3, 4)], 3), ([(0, 5), (1, 2)], 5), ([(3, 4), (0, 2), (1, 3)], 4)],
)
def test_kernels_that_overlap_keep_a_device_busy_once(monkeypatch, spans, covered):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    from benchmarks.gpu import busy

    assert busy(spans) == covered
