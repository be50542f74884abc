"""What a run's record says of the code, the packages and the machine; never the environment."""

import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from aelab.core.errors import ConfigurationError

LARGEST_UNTRACKED = 1_000_000
"""Bytes above which an untracked file is named in the record instead of copied into the patch."""


def git_state(start: Path) -> dict[str, Any] | None:
    """The repository around `start`, or None outside one and where git is missing.

    commit: the full hash, None before the first commit.  branch: None where HEAD is detached.
    dirty: whether anything that is not ignored differs from the commit.
    remote: the address of `origin`, else of the first remote, without credentials; None without one.
    left_out: what `changes_patch` omits: untracked files above 1 MB or unreadable, and nested repositories.
    """
    top = top_of(start)
    if top is None:
        return None
    return {
        "commit": _ask(top, "rev-parse", "--verify", "--quiet", "HEAD"),
        "branch": _ask(top, "symbolic-ref", "--short", "--quiet", "HEAD"),
        "dirty": bool(git(top, "status", "--porcelain", "--untracked-files=normal")),
        "remote": _remote(top),
        "left_out": _left_out(top),
    }


def changes_patch(start: Path) -> bytes:
    """One patch against HEAD of all changed, deleted and untracked files that are not ignored.

    `git apply` on a checkout of the commit gives the same tree, but for the files that `git_state` lists as
    `left_out`. Before the first commit the patch is against the empty tree; outside a repository it is empty.
    Neither the index nor the object database of the repository is written to.

    Raises:
        ConfigurationError: git cannot read the working tree.
    """
    top = top_of(start)
    if top is None:
        return b""
    with tempfile.TemporaryDirectory() as scratch:
        private = _private_store(top, Path(scratch))
        excluded = [f":(exclude,literal){name}" for name in _left_out(top)]
        pathspec = os.fsencode("\0".join([".", *excluded]))
        git(top, "add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul", env=private, feed=pathspec)
        options = ("--cached", "--binary", "--no-renames", "--no-ext-diff", "--no-textconv")
        return git(top, "diff-index", *options, _base(top), env=private)


@functools.cache
def packages() -> dict[str, str]:
    """The installed distributions and their versions, by name, as this process first found them."""
    found = {item.metadata["Name"]: item.version for item in distributions() if item.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def hardware() -> dict[str, Any]:
    """The machine: system, processor, memory in bytes, accelerators by name, and PyTorch's view of them."""
    import torch

    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "memory": _memory(),
        "gpus": devices or (["Apple GPU"] if torch.backends.mps.is_available() else []),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
    }


def command() -> list[str]:
    """The command line of this process as it was given, interpreter first."""
    return list(sys.orig_argv)


def git(where: Path, *arguments: str, env: dict[str, str] | None = None, feed: bytes | None = None) -> bytes:
    """What a git command prints in the repository at `where`, whatever repository the environment names.

    Raises:
        ConfigurationError: the command failed.
    """
    # A hook or an outer git points these at its own repository; `where` alone decides here. Without optional
    # locks, asking for the status leaves the index as it is.
    inherited = {k: v for k, v in os.environ.items() if not re.match(r"GIT_(?!CONFIG)", k)}
    call = ["git", "-c", "core.fsmonitor=false", "-c", "core.safecrlf=false", *arguments]
    environment = {**inherited, "GIT_OPTIONAL_LOCKS": "0", **(env or {})}
    answer = subprocess.run(call, cwd=where, env=environment, input=feed, capture_output=True)
    if answer.returncode:
        complaint = answer.stderr.decode(errors="replace").strip().replace("\n", " ")
        raise ConfigurationError(f"git {arguments[0]} failed in {where} ({complaint}): mend the repository.")
    return answer.stdout


def _ask(where: Path, *arguments: str) -> str | None:
    """The one line that git answers, None where it has no answer."""
    try:
        return os.fsdecode(git(where, *arguments)).rstrip("\n") or None
    except (ConfigurationError, OSError):
        return None


def top_of(start: Path) -> Path | None:
    """The top folder of the working tree around `start`; None outside one and where git is missing."""
    answer = _ask(start, "rev-parse", "--show-toplevel")
    return None if answer is None else Path(answer)


def _base(top: Path) -> str:
    return (
        _ask(top, "rev-parse", "--verify", "--quiet", "HEAD")
        or os.fsdecode(git(top, "hash-object", "-t", "tree", "--stdin", feed=b"")).strip()
    )


def _private_store(top: Path, scratch: Path) -> dict[str, str]:
    """An environment in which git reads the repository and writes to `scratch`."""
    index, objects = (_internal(top, name) for name in ("index", "objects"))
    if index.exists():
        # Its cached file states spare hashing every file; its time of writing makes them trustworthy.
        shutil.copy2(index, scratch / "index")
    (scratch / "objects").mkdir()
    return {
        "GIT_INDEX_FILE": str(scratch / "index"),
        "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
        # Quoted, for a colon separates the paths of this list.
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": json.dumps(str(objects), ensure_ascii=False),
    }


def _internal(top: Path, name: str) -> Path:
    return top / os.fsdecode(git(top, "rev-parse", "--git-path", name)).rstrip("\n")


def _left_out(top: Path) -> list[str]:
    listed = git(top, "ls-files", "--others", "--exclude-standard", "-z")
    return [name for name in os.fsdecode(listed).split("\0") if name and not _portable(top / name)]


def _portable(path: Path) -> bool:
    if path.is_symlink():
        return True
    return path.is_file() and path.stat().st_size <= LARGEST_UNTRACKED and os.access(path, os.R_OK)


def _remote(top: Path) -> str | None:
    names = (_ask(top, "remote") or "").split()
    if not names:
        return None
    url = _ask(top, "remote", "get-url", "origin" if "origin" in names else names[0])
    return None if url is None else _without_credentials(url)


def _without_credentials(url: str) -> str:
    """`url` without user, password, query and fragment; rather too much is dropped than a secret kept."""
    bare = re.sub(r"[?#].*", "", re.sub(r"://.*@", "://", url))
    return re.sub(r"^[^/@]*:[^@]*@", "", bare) if "://" not in bare else bare


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor()
    model = re.search(r"^model name\s*:\s*(.+)$", lines, re.MULTILINE)
    return model.group(1).strip() if model else platform.processor()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
