"""Files that appear whole or not at all, under names that lead nowhere else."""

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from aelab.core.errors import ConfigurationError
from aelab.core.paths import from_user
from aelab.core.signals import Signals
from aelab.core.text import sentence
from aelab.core.untrusted import SEAL, open_file, seal

SCRATCH = ".aelab-"  # how the names of folders begin in which something is being written
OURS = (".png", ".csv", ".safetensors", ".pt2", ".onnx", ".json", ".npz", ".yaml", ".md")


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, which is made where it is missing; removed at the end, unless by a kill."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A path of the same suffix, where the caller writes a file or makes a folder, which then becomes `path`.

    A reader, and a process killed at any point, sees what was there before or all of the new: it is flushed
    to the disk and renamed. An error of the caller's leaves `path` as it was.
    """
    with scratch(path.parent) as folder:
        made = folder / f"new{path.suffix}"
        yield made
        for file in made.rglob("*") if made.is_dir() else [made]:
            if file.is_file():
                _flush(file)
        made.replace(path)


def _flush(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with atomic(path) as new:
        new.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a file of text in UTF-8 whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, fields: Mapping[str, Any]) -> None:
    """Write a JSON object whole or not at all; NaN and infinities become null."""
    write_text(path, json_text(fields) + "\n")


def write_sealed(path: Path, fields: Mapping[str, Any]) -> None:
    """The same with a digest of all of it, which `untrusted.sealed_object` checks."""
    plain = json.loads(json_text(fields))
    write_json(path, plain | {SEAL: seal(plain)})


def overwrite_sealed(path: Path, fields: Mapping[str, Any]) -> None:
    """The same in the place of what is there, which takes no room on a full disk; a kill may leave half."""
    plain = json.loads(json_text(fields))
    text = json_text(plain | {SEAL: seal(plain)}) + "\n"
    with open_file(path, "r+b", os.O_RDWR) as file:
        file.write(text.encode().ljust(path.stat().st_size))


def json_text(value: Any) -> str:
    """Plain containers as JSON; NaN and infinities become null."""
    return json.dumps(_plain(value), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    """`value` with everything that JSON cannot hold, and that a record may hold, replaced."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def why_unread(path: Path, error: Exception) -> str:
    """Why an .npz file cannot be read; numpy speaks of options that nobody has here."""
    if path.is_file() and not is_zipfile(path):
        return "it is no .npz file"
    return "it holds objects, and no plain numbers" if "pickle" in str(error) else sentence(error)


def remove_scratch(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder that no other process writes to."""
    for left in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def draft(to: str, overwrite: bool = False) -> Iterator[Path]:
    """A path at which the caller writes a file or makes a folder, which is then moved to `to`, whole.

    A file replaces a file, and a folder a folder of such files alone, whole: what an
    earlier call left beside the new files would be taken for theirs. SIGTERM and Ctrl-C end it as errors do.
    Raises ConfigurationError where something is there already, unless `overwrite`, or nothing can be written.
    """
    target = from_user(to).absolute()
    if not overwrite and (target.exists() or target.is_symlink()):
        raise ConfigurationError(f"to={to!r} is there already: choose another place, or overwrite=true")
    with Signals() as signals, ExitStack() as stack:
        try:
            new = stack.enter_context(atomic(target))
        except OSError as error:
            raise ConfigurationError(
                f"to={to!r} cannot be written ({error.strerror}): choose another"
            ) from error
        try:
            yield new
        finally:
            signals.deferred = True  # half of a replacement would be neither the old nor the new
        _make_room(new, target, to)


def _make_room(new: Path, target: Path, to: str) -> None:
    """Take away the folder that a new one replaces."""
    if new.is_dir() != target.is_dir() and target.exists():
        raise ConfigurationError(f"to={to!r} is {'no' if new.is_dir() else 'a'} folder: choose another place")
    if target.is_dir():
        foreign = sorted(path.name for path in target.iterdir() if path.suffix not in OURS or path.is_dir())
        if foreign:
            raise ConfigurationError(
                f"to={to!r} holds other things too, as {foreign[0]!r}, which would go: choose another"
            )
        shutil.rmtree(target)


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


def new_folder(parent: Path) -> Path:
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


def folder_name(name: str) -> str:
    """A name as one of a folder; ConfigurationError where it has neither letter nor digit."""
    # 200 bytes leave room below the 255 that file systems allow; a cut character is dropped whole.
    kept = re.sub(r"[^\w.+=,-]+", "-", name).encode()[:200].decode(errors="ignore").strip(".-")
    if not re.search(r"[^\W_]", kept):
        raise ConfigurationError(f"The run's name {name!r} makes no folder name: give it a letter or digit.")
    return kept
