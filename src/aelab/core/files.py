"""Files that appear whole or not at all, under names that lead nowhere else."""

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from aelab.core.errors import ConfigurationError
from aelab.core.paths import from_user
from aelab.core.signals import Signals

OURS = (".png", ".csv", ".safetensors", ".pt2", ".onnx", ".json", ".npz")


@contextmanager
def draft(to: str, overwrite: bool = False) -> Iterator[Path]:
    """A path beside `to`, at which the caller writes a file or makes a folder; then it is moved to `to`.

    A file replaces a file, and a folder a folder of such files alone, whole: what an
    earlier call left beside the new files would be taken for theirs. SIGTERM and Ctrl-C end it as errors do.
    Raises ConfigurationError where something is there already, unless `overwrite`, or nothing can be written.
    """
    target = from_user(to).absolute()
    if not overwrite and (target.exists() or target.is_symlink()):
        raise ConfigurationError(f"to={to!r} is there already: choose another place, or overwrite=true")
    with Signals() as signals:
        scratch = _scratch(target.parent, to)
        try:
            yield scratch / target.name
            signals.deferred = True  # half of a replacement would be neither the old nor the new
            _put(scratch / target.name, target, to)
        finally:
            signals.deferred = True
            shutil.rmtree(scratch, ignore_errors=True)


def _scratch(parent: Path, to: str) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".aelab-", dir=parent))
    except OSError as error:
        raise ConfigurationError(f"to={to!r} cannot be written ({error.strerror}): choose another") from error


def _put(made: Path, target: Path, to: str) -> None:
    if made.is_dir() != target.is_dir() and target.exists():
        raise ConfigurationError(
            f"to={to!r} is {'no' if made.is_dir() else 'a'} folder: choose another place"
        )
    if target.is_dir():
        foreign = sorted(path.name for path in target.iterdir() if path.suffix not in OURS or path.is_dir())
        if foreign:
            raise ConfigurationError(
                f"to={to!r} holds other things too, as {foreign[0]!r}, which would go: choose another"
            )
        shutil.rmtree(target)
    made.replace(target)


def safe_names(names: Iterable[str], suffix: str, reserved: Iterable[str] = ()) -> list[str]:
    """A file name for each of `names`, which may hold anything; all differ, also from the reserved ones."""
    taken = set(reserved)
    return [_claimed(name, suffix, taken) for name in names]


def _claimed(name: str, suffix: str, taken: set[str]) -> str:
    kept = (
        re.sub(r"[^\w.+=,-]+", "-", name).encode(errors="replace")[:200].decode(errors="ignore").strip(".-")
    )
    stem, attempt = kept or "image", 0
    while (candidate := f"{stem}{f'-{attempt}' if attempt else ''}{suffix}").casefold() in taken:
        attempt += 1
    taken.add(candidate.casefold())  # some file systems tell no capitals
    return candidate


def write_json(path: Path, fields: Mapping[str, Any]) -> None:
    """Write a JSON object whole or not at all; NaN and infinities become null."""
    text = json.dumps(_plain(fields), indent=2, allow_nan=False)
    draft = path.parent / f".{path.name}.{os.getpid()}"
    draft.unlink(missing_ok=True)  # a link, or what a process of the same number left
    with draft.open("x", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _plain(value: Any) -> Any:
    """`value` with everything that JSON cannot hold, and that a record may hold, replaced."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def claimed(parent: Path) -> Path:
    """Make a folder in `parent` that no other process has, named by the local time."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    path, attempt = parent / stamp, 0
    while True:
        try:
            path.mkdir()
            return path
        except FileExistsError:
            attempt += 1
            path = parent / f"{stamp}-{attempt}"
