"""The journal: valid lines, two files, and a resume that cuts back to the byte."""

import json
import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from aelab.core.errors import ResumeError
from aelab.loggers.jsonl import EMPTY, JsonLines, rows
from aelab.runs.folder import RunFolder

metrics = st.dictionaries(
    st.sampled_from(["train/loss", "val/é", "time/step", "time/epoch", "x"]), st.floats() | st.integers()
)


def log(folder, entries, first=0):
    journal = JsonLines(folder, "run", "one")
    for step, entry in enumerate(entries, first):
        journal.log_metrics(entry, step)
    return journal


def contents(folder):
    return [path.read_bytes() if path.exists() else b"" for path in files(folder)]


def files(folder):
    return [folder / "metrics.jsonl", folder / "timing.jsonl"]


def test_it_writes_where_the_run_folder_says(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    log(run.path, [{"x": 1, "time/step": 2}])
    assert (run.metrics, run.timing) == tuple(files(run.path))
    assert all(path.exists() for path in files(run.path))


def test_a_line_is_plain_json_in_the_order_given(tmp_path):
    log(tmp_path, [{"b": 0.1 + 0.2, "a": torch.tensor(0.5), "time/step": 3.5, "n": 7}], first=12)
    assert contents(tmp_path) == [
        b'{"step": 12, "b": 0.30000000000000004, "a": 0.5, "n": 7}\n',
        b'{"step": 12, "time/step": 3.5}\n',
    ]


def test_timing_alone_leaves_the_metrics_as_they_are(tmp_path):
    log(tmp_path, [{"time/step": 1.0}])
    assert not (tmp_path / "metrics.jsonl").exists()


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_numbers_that_json_lacks_are_strings_that_float_reads(tmp_path):
    log(tmp_path, [{"a": math.nan, "b": math.inf, "c": -math.inf}])
    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=refuse) == {"step": 0, "a": "nan", "b": "inf", "c": "-inf"}
    (row,) = rows(tmp_path / "metrics.jsonl")
    assert math.isnan(row["a"])
    assert (row["b"], row["c"]) == (math.inf, -math.inf)


@given(before=st.lists(metrics), after=st.lists(metrics), torn=st.binary(max_size=9))
def test_truncating_to_a_position_undoes_all_that_came_later(tmp_path_factory, before, after, torn):
    folder = tmp_path_factory.mktemp("run")
    journal = log(folder, before)
    seen, position = contents(folder), journal.position()
    for step, entry in enumerate(after):
        journal.log_metrics(entry, step)
    for path in files(folder):
        with path.open("ab") as file:
            file.write(torn)
    resumed = JsonLines(folder, "run", "one")
    resumed.truncate(position)
    assert contents(folder) == seen
    assert resumed.position() == position


@given(entries=st.lists(metrics), cut=st.integers(0, 20))
def test_a_resumed_run_writes_the_same_bytes(tmp_path_factory, entries, cut):
    whole, resumed = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("resumed")
    log(whole, entries)
    position = log(resumed, entries[:cut]).position()
    journal = log(resumed, [{"x": 1, "time/step": 2}], first=99)
    journal.truncate(position)
    for step, entry in list(enumerate(entries))[cut:]:
        journal.log_metrics(entry, step)
    assert contents(resumed) == contents(whole)


@pytest.mark.parametrize("length", [10_000, -1])
def test_a_position_outside_the_file_is_refused_and_nothing_is_cut(tmp_path, length):
    journal = log(tmp_path, [{"x": 1, "time/step": 2}])
    seen = contents(tmp_path)
    with pytest.raises(ResumeError, match=r"timing\.jsonl holds 28 bytes where the checkpoint saw"):
        journal.truncate(journal.position() | {"timing.jsonl": [length, "0"]})
    assert contents(tmp_path) == seen


@pytest.mark.parametrize("odd", [5, None, [0], ["0", 0], {"metrics.jsonl": 3}])
def test_a_position_that_no_journal_gave_is_refused(tmp_path, odd):
    with pytest.raises(ResumeError, match="does not say what it saw"):
        log(tmp_path, [{"x": 1}]).truncate({"metrics.jsonl": odd})


@pytest.mark.parametrize("name", ["metrics.jsonl", "timing.jsonl"])
def test_a_flipped_bit_before_the_position_is_found_and_one_after_it_cut_off(tmp_path, name):
    journal = log(tmp_path, [{"x": 1, "time/step": 2}])
    position = journal.position()
    journal.log_metrics({"x": 3, "time/step": 4}, 1)
    seen = contents(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[-3] ^= 1
    (tmp_path / name).write_bytes(content)
    JsonLines(tmp_path, "run", "one").truncate(position)
    assert [found[: len(kept)] for found, kept in zip(seen, contents(tmp_path), strict=True)] == contents(
        tmp_path
    )
    content = bytearray((tmp_path / name).read_bytes())
    content[-3] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ResumeError, match=f"{name} was changed since"):
        JsonLines(tmp_path, "run", "one").truncate(position)


def test_a_position_names_no_other_files(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0")
    log(tmp_path, []).truncate({"config.yaml": EMPTY})
    assert (tmp_path / "config.yaml").read_text() == "seed: 0"


def test_each_line_is_on_disk_at_once(tmp_path):
    script = f"""
import os
from pathlib import Path
from aelab.loggers.jsonl import JsonLines
JsonLines(Path({str(tmp_path)!r}), "run", "one").log_metrics({{"x": 1}}, 5)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    assert list(rows(tmp_path / "metrics.jsonl")) == [{"step": 5, "x": 1}]


def test_a_torn_last_line_is_passed_over(tmp_path):
    log(tmp_path, [{"x": 1}])
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 1, "x"')
    assert list(rows(tmp_path / "metrics.jsonl")) == [{"step": 0, "x": 1}]
    assert list(rows(tmp_path / "absent.jsonl")) == []


def test_a_closed_journal_opens_again(tmp_path):
    journal = log(tmp_path, [{"x": 1}])
    journal.finish(0)
    journal.log_metrics({"x": 2}, 1)
    assert [row["x"] for row in rows(tmp_path / "metrics.jsonl")] == [1, 2]


def test_other_ranks_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    log(tmp_path, [{"x": 1}]).truncate({"metrics.jsonl": 5})
    assert list(tmp_path.iterdir()) == []
