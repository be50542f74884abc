"""What a person sees while a model trains."""

import io
import math
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from aelab.training.callbacks.progress import Bar, Lines, clock


def trainer(elbo, epoch=0, done=10, mode="max"):
    """As much of a Trainer as a line is made of, after 10 batches of each of 4 epochs."""
    progress = SimpleNamespace(current=SimpleNamespace(processed=epoch))
    batches = SimpleNamespace(total=SimpleNamespace(completed=done))
    return SimpleNamespace(
        callback_metrics={
            f"val/{name}": SimpleNamespace(item=lambda value=value: value)
            for name, value in {"distortion": 7.0, "kl": 2.0, "mse": 0.5, "elbo": elbo}.items()
        },
        checkpoint_callback=SimpleNamespace(monitor="val/elbo", mode=mode),
        fit_loop=SimpleNamespace(
            epoch_progress=progress, epoch_loop=SimpleNamespace(batch_progress=batches)
        ),
        max_epochs=4, max_steps=-1, num_training_batches=10, global_step=done,
    )  # fmt: skip


def lines(callback, *epochs):
    for number, elbo in enumerate(epochs):
        callback.on_validation_end(trainer(elbo, number, 10 * (number + 1)), None)


@pytest.fixture
def bar():
    found = Bar()
    found.console = Console(file=io.StringIO(), width=60, highlight=False, markup=False)
    return found


def test_every_validation_has_its_line_and_the_best_so_far_is_marked(bar):
    lines(bar, -9.0, -8.0, -8.5, math.nan)
    printed = bar.console.file.getvalue().splitlines()
    assert [re.match(r"epoch (\d)/4  elbo (\S+)", line).groups() for line in printed] == [
        ("1", "-9"), ("2", "-8"), ("3", "-8.5"), ("4", "nan"),
    ]  # fmt: skip
    assert ["best" in line for line in printed] == [True, True, False, False]


@pytest.mark.parametrize("width", [30, 60, 200])
def test_a_line_fits_the_terminal_and_keeps_what_chooses_the_weights(bar, width):
    bar.console.width = width
    lines(bar, -9.0)
    (line,) = bar.console.file.getvalue().splitlines()
    assert "elbo -9" in line
    assert len(line) <= max(width, len("epoch 1/4  elbo -9  best  0:00 left"))
    assert ("mse" in line) == (width == 200)


def test_lower_is_better_where_the_monitor_says_so(capsys):
    callback = Lines()
    callback.pause = 0
    for value in (3.0, 4.0, 2.0):
        callback.on_validation_end(trainer(value, mode="min"), None)
    assert ["best" in line for line in capsys.readouterr().out.splitlines()] == [True, False, True]


def test_what_is_left_follows_from_the_batches_so_far(monkeypatch):
    callback = Lines()
    now = callback.started
    monkeypatch.setattr("time.monotonic", lambda: now + 60)
    assert callback.time(trainer(0.0, done=10)) == "3:00 left"
    callback.before = 30  # a resumed run: what came before took none of this time
    assert callback.time(trainer(0.0, done=35)) == "1:00 left"


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00"), (59.6, "1:00"), (3723, "1:02:03")])
def test_a_duration_is_read_as_a_clock(seconds, shown):
    assert clock(seconds) == shown
