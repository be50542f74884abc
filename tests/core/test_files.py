"""Files that are written whole or not at all, whatever happens meanwhile."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from aelab.core import files
from aelab.core.files import atomic, remove_scratch, write_bytes, write_json, write_text


def test_a_file_takes_the_place_of_another_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    write_text(path, "old")
    write_text(path, "näw")
    assert path.read_bytes() == "näw".encode()
    assert [found.name for found in path.parent.iterdir()] == ["file.txt"]


def test_the_place_to_write_at_lies_in_the_same_file_system_and_keeps_the_suffix(tmp_path):
    with atomic(tmp_path / "array.npz") as new:
        assert new.suffix == ".npz"
        assert new.is_relative_to(tmp_path)
        new.touch()


def test_an_error_leaves_what_was_there(tmp_path):
    write_bytes(tmp_path / "file", b"old")
    with pytest.raises(TypeError), atomic(tmp_path / "file") as new:
        new.write_bytes(b"half of the new" + new.write_text("half"))
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "file"):
        pass  # nothing was written
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_a_folder_appears_with_all_that_is_in_it(tmp_path):
    with atomic(tmp_path / "to") as new:
        (new / "deep").mkdir(parents=True)
        (new / "deep" / "file").write_text("x")
        assert not (tmp_path / "to").exists()
    assert (tmp_path / "to" / "deep" / "file").read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """After a power cut a file under its name is never empty."""
    flushed = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(os.fstat(number).st_ino) or fsync(number))
    with atomic(tmp_path / "to") as new:
        new.mkdir()
        for name in ("a", "b"):
            (new / name).write_text(name)
    assert set(flushed) == {(tmp_path / "to" / name).stat().st_ino for name in ("a", "b")}


def test_a_link_under_the_name_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "file").symlink_to(tmp_path / "precious")
    write_text(tmp_path / "file", "new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "file").is_symlink()


def test_several_writers_leave_the_file_of_one_of_them(tmp_path):
    texts = [str(digit) * 100_000 for digit in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(tmp_path / "file", text), texts))
    assert (tmp_path / "file").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


WRITER = """
import sys
from itertools import count
from pathlib import Path
from aelab.core.files import write_json
for value in count():
    write_json(Path(sys.argv[1]), {"value": value, "filling": [value] * 20_000})
"""


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path):
    path = tmp_path / "record.json"
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, path])
        for _ in count():
            if path.exists() and json.loads(path.read_text())["value"] > 3:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = json.loads(path.read_text())
        assert found["filling"] == [found["value"]] * 20_000
        path.unlink()
    remove_scratch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_json_cannot_hold_becomes_null(tmp_path):
    write_json(tmp_path / "a.json", {"nan": float("nan"), "deep": [{"inf": float("inf"), "path": tmp_path}]})
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "nan": None,
        "deep": [{"inf": None, "path": str(tmp_path)}],
    }


def test_what_is_left_of_others_is_not_taken_away(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / f"{files.SCRATCH}left").mkdir()
    remove_scratch(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
