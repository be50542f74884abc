"""Random kills of trials, and of one of two workers, lose nothing and repeat nothing."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import mean

import optuna
import pytest
from optuna.trial import TrialState
from small import SMALL

from aelab.loggers.jsonl import rows
from aelab.runs.folder import RunFolder, Status
from aelab.sweeps.storage import open_storage

TRIALS = int(os.environ.get("AELAB_TEST_TRIALS", "20"))
SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"


def children(pid):
    with contextlib.suppress(OSError):
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc")
def test_kills_of_trials_and_of_a_worker_lose_nothing(tmp_path, script_environment, capsys):
    chance, said = random.Random(0), tmp_path / "said.txt"

    def worker():
        sweep = [f"seed=range(0,{TRIALS})", "sweep.study=s", "sweep.retries=1000", f"outputs={tmp_path}"]
        command = [sys.executable, str(SCRIPT), "-m", *SMALL, "threads=null", *sweep]
        with said.open("a") as errors:
            return subprocess.Popen(
                command, env=script_environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    started, workers, kills, deaths = time.monotonic(), [worker(), worker()], 0, 0
    while any(w.poll() is None for w in workers):
        time.sleep(chance.uniform(0.2, 2))
        running = [child for w in workers for child in children(w.pid)]
        if running:
            kill(chance.choice(running))
            kills += 1
        if kills > TRIALS // 8 and not deaths:
            workers[0].kill()
            workers[0].wait()
            workers.append(worker())
            deaths += 1
    assert [w.returncode for w in workers[1:]] == [0, 0], said.read_text()[-3000:]

    storage = open_storage(None, tmp_path / "sweeps" / "s")
    study = optuna.load_study(study_name="s", storage=storage)
    complete = [t for t in study.trials if t.state is TrialState.COMPLETE]
    assert Counter(t.user_attrs["point"] for t in complete).most_common(1)[0][1] == 1
    assert len(complete) == TRIALS

    runs = [RunFolder(path.parent) for path in tmp_path.glob("*/*/record.json")]
    finished = [run for run in runs if run.status is Status.FINISHED]
    assert sorted(run.read()["seed"] for run in finished) == list(range(TRIALS))
    truth = {
        run.read()["seed"]: max(r["val/elbo"] for r in rows(run.metrics) if "val/elbo" in r)
        for run in finished
    }
    best = max(truth, key=truth.get)
    assert study.best_value == truth[best]
    assert f"seed={best}" in study.best_trial.user_attrs["overrides"]
    told = workers[-1].stdout.read().split("best ")[1]
    assert f"val/elbo={mean(truth.values()):.6g} ± " in told
    assert f"over {TRIALS} seeds" in told
    ends = Counter(t.user_attrs.get("reason", t.state.name) for t in study.trials)
    with capsys.disabled():
        print(
            f"\n{TRIALS} trials, {kills} kills of trials, {deaths} of a worker, {dict(ends)}, "
            f"{len(runs)} run folders, {time.monotonic() - started:.0f} s"
        )
