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
