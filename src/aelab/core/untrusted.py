"""Files of folders that may come from anywhere: read as data, within bounds, and never through a link."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aelab.core.errors import RunError

LARGEST = 20_000_000  # bytes of a file that is read as text
SEAL = "seal"  # the key of an object's own digest
DEEPEST = 60  # containers within each other
# W&B links the log of its service into the folder of each execution, and never writes to it there.
LOG_OF_WANDB = "trackers/wandb/*run-*/logs/debug-core.log"


def open_file(path: Path, mode: str = "rb", flags: int = os.O_RDONLY) -> Any:
    """An open file; flags: as of `os.open`.

    Raises RunError for a link, which may lead anywhere, and for what is no file: a pipe would be waited for.
    OSError as `open` does.
    """
    if path.is_symlink():
        raise RunError(f"{path} is a link, and a run's files are its own: put a file in its place")
    opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise RunError(f"{path} is no file: put one in its place")
    return os.fdopen(opened, mode)


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """The bytes of a file; RunError as `open_file` has it, and for more than `largest` of them."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise RunError(f"{path} is larger than a run's file can be ({size:,} bytes): restore it")
        content: bytes = file.read(size)  # not `largest`, of which a buffer would be made
        return content


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; RunError where it is missing, damaged, deeply nested, or something else."""
    try:
        found = json.loads(read_bytes(path))
    except (ValueError, OSError, RecursionError) as damage:
        raise RunError(f"{path} is damaged ({damage}): restore it, or start a new run.") from damage
    if not isinstance(found, dict):
        raise RunError(f"{path} holds no JSON object: restore it, or start a new run.")
    if depth(found) > DEEPEST:
        raise RunError(f"{path} is nested deeper than a run's file is: restore it, or start a new run.")
    return found


def sealed_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, without its seal; RunError as `json_object` has it, and for a broken seal.

    A seal tells damage, not who wrote it; what has none was written by hand, or before there were seals.
    """
    found = json_object(path)
    kept = found.pop(SEAL, None)
    # A user may write that a run was killed whose machine is gone, which alone can then be mended.
    others = [found | {"status": "running"}] if found.get("status") == "killed" else []
    if kept is not None and kept not in map(seal, [found, *others]):
        raise RunError(f"{path} is damaged (its {SEAL} is another's): restore it, or start a new run.")
    return found


def seal(fields: dict[str, Any]) -> str:
    """The digest of a JSON object, whatever the order of its keys and the spaces between them."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits; RunError as `open_file` has it."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def depth(value: Any) -> int:
    """How many plain containers lie within each other, counted no further than past `DEEPEST`."""
    layer, found = [value], 0
    while layer and found <= DEEPEST + 1:
        inner = (v.values() if isinstance(v, dict) else v for v in layer if isinstance(v, dict | list))
        layer = [item for items in inner for item in items]
        found += 1
    return found - 1


def check_folder(folder: Path) -> None:
    """RunError where a folder holds a link that leads out of it, or what is neither file nor folder.

    A link is refused also where it leads to another file of the folder, but for those that a tracker made.
    """
    for entry in _entries(folder):
        path = Path(entry.path)
        if entry.is_symlink():
            if not _is_trackers_own(path, folder):
                raise RunError(
                    f"{path} is a link, through which other files would be written or read: give a folder as "
                    "a run made it"
                )
        elif not (entry.is_file() or entry.is_dir()):
            raise RunError(f"{path} is neither file nor folder: give a folder as a run made it")


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    waiting: list[str | Path] = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _is_trackers_own(link: Path, folder: Path) -> bool:
    """Whether a link is one of those by which W&B finds its newest execution, or the log of one past."""
    place = link.relative_to(folder)
    if place.parts[0] != "trackers":
        return False
    of_one_past = len(place.parts) == 5 and place.match(LOG_OF_WANDB)
    return of_one_past or Path(os.path.realpath(link)).is_relative_to(folder / "trackers")
