import io
import os
import pickle
import random
import signal
import threading
import time
import zipfile
from itertools import count
from pathlib import Path

import pytest
import torch

from aelab.core.errors import RunError
from aelab.core.files import scratch
from aelab.training.checkpoint_io import AtomicCheckpointIO
from aelab.training.checkpoints import is_whole, load, resume_points, sealed, usable

CONTENT = {
    "epoch": 3,
    "names": ["a", "b", 1.5, None, True],
    "state": {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)},
}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


def save(path, content=CONTENT):
    AtomicCheckpointIO().save_checkpoint(content, path)
    return path


@pytest.fixture
def path(tmp_path):
    return save(tmp_path / "deep" / "last.ckpt")


def flipped(path, bit):
    raw = bytearray(path.read_bytes())
    raw[bit // 8] ^= 1 << bit % 8
    path.write_bytes(raw)


def survives(path):
    """Damage is told by `is_whole` and refused by `load`, or else it is harmless."""
    if is_whole(path):
        return same(load(path), CONTENT)
    with pytest.raises(RunError, match="damaged"):
        load(path)
    return True


def test_what_was_saved_is_loaded(path):
    assert is_whole(path)
    assert same(load(path), CONTENT)
    assert same(AtomicCheckpointIO().load_checkpoint(str(path)), CONTENT)
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def test_a_save_replaces_and_a_removal_removes(path):
    save(path, {"epoch": 4})
    assert load(path) == {"epoch": 4}
    io = AtomicCheckpointIO()
    io.remove_checkpoint(path)
    io.remove_checkpoint(path)
    assert not path.exists()


def test_a_save_that_fails_leaves_the_old_file(path):
    with pytest.raises((pickle.PicklingError, TypeError, AttributeError)):
        save(path, {"lock": threading.Lock()})
    assert same(load(path), CONTENT)


def test_a_save_that_fails_leaves_nothing_behind(path):
    with pytest.raises((pickle.PicklingError, TypeError, AttributeError)):
        save(path, {"lock": threading.Lock()})
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_can_be_read_by_whom_the_umask_allows(path):
    (path.parent / "plain").touch()
    assert path.stat().st_mode == (path.parent / "plain").stat().st_mode


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_in_the_middle_of_a_save_leaves_the_old_file_or_the_new(tmp_path):
    path, wait, seen = tmp_path / "last.ckpt", random.Random(0), set()
    save(path, {"n": -1, "w": torch.full((200_000,), -1)})
    for attempt in range(12):
        child = os.fork()
        if not child:
            try:
                for n in count(1000 * attempt):
                    save(path, {"n": n, "w": torch.full((200_000,), n)})
            finally:
                os._exit(1)
        before = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == before:  # on a busy machine a first save takes its time
            time.sleep(0.001)
        time.sleep(wait.uniform(0, 0.04))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        content = load(path)
        assert torch.equal(content["w"], torch.full((200_000,), content["n"]))
        seen.add(content["n"])
    assert len(seen) > 1


def test_a_flipped_bit_in_a_stored_value_is_detected(path):
    raw = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        stored = [archive.read(name) for name in archive.namelist() if "data" in name]
    for value in filter(None, stored):
        start = raw.index(value)
        for bit in range(8 * start, 8 * (start + len(value)), 5):
            flipped(path, bit)
            assert not is_whole(path)
            path.write_bytes(raw)


def test_a_flipped_bit_anywhere_is_detected_or_harmless(path):
    raw = path.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(raw)), 200):
        flipped(path, bit)
        assert survives(path)
        path.write_bytes(raw)


DIRECTORY, DATA, END = b"PK\x01\x02", b"data/0", b"PK\x05\x06"


def entry(raw):
    """Where the directory describes the first tensor."""
    start = raw.rindex(DIRECTORY, 0, raw.rindex(DATA))
    assert raw[start + 46 :][: raw[start + 28]].endswith(DATA)
    return start


@pytest.mark.parametrize(
    "bit",
    [
        pytest.param(lambda raw: 8 * (entry(raw) + 8), id="encrypted"),
        pytest.param(lambda raw: 8 * (entry(raw) + 10) + 3, id="compressed"),
        pytest.param(lambda raw: 8 * (entry(raw) + 38) + 4, id="a folder"),
        pytest.param(lambda raw: 8 * (raw.rindex(END) - 5), id="far away"),
        pytest.param(lambda raw: 8 * (entry(raw) + 46 + raw[entry(raw) + 28] - 1), id="misnamed"),
    ],
)
def test_a_flipped_bit_in_the_archives_directory_is_detected_or_harmless(path, bit):
    flipped(path, bit(path.read_bytes()))
    assert survives(path)


def test_a_truncated_file_is_damaged(path):
    raw = path.read_bytes()
    for length in {0, 1, len(raw) - 1, *range(0, len(raw), 97)}:
        path.write_bytes(raw[:length])
        assert not is_whole(path)
        with pytest.raises(RunError):
            load(path)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no checkpoint")
    for name in ("folder", "text", "absent"):
        with pytest.raises(RunError, match=name):
            load(tmp_path / name)


class Code:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_code_in_a_checkpoint_is_refused_and_not_run(path, tmp_path):
    buffer = io.BytesIO()
    torch.save({"state": Code(tmp_path / "ran")}, buffer)
    path.write_bytes(sealed(buffer.getvalue()))
    assert is_whole(path)
    with pytest.raises(RunError, match="more than tensors"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=False)
    assert not (tmp_path / "ran").exists()


def test_resume_points_come_newest_first_and_damaged_ones_are_passed_over(tmp_path):
    positions = [(0, 100), (0, 9), (2, 0), (10, 5), (10, 40)]
    for epoch, batch in positions:
        save(tmp_path / f"resume-{epoch:05d}-{batch:07d}.ckpt", {"position": (epoch, batch)})
    save(tmp_path / "best.ckpt")
    with scratch(tmp_path) as unfinished:
        save(unfinished / "resume-00011-0000000.ckpt")
        points = resume_points(tmp_path)
    assert [load(point)["position"] for point in points] == sorted(positions, reverse=True)
    points[0].write_bytes(points[0].read_bytes()[:100])
    assert list(usable(points)) == points[1:]
