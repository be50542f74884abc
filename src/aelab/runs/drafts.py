"""Files that appear whole or not at all, under names that lead nowhere else."""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aelab.callbacks.signals import Signals
from aelab.errors import ConfigurationError
from aelab.locations import from_user

OURS = (".png", ".csv", ".safetensors", ".pt2", ".onnx", ".json")


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
