"""What a run's record says of the code, the packages and the machine; never the environment."""

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from aelab.core.environment import Environment, differences
from aelab.core.errors import ConfigurationError
from aelab.core.memory import memory
from aelab.core.paths import conf_dir
from aelab.core.text import SECRET_SETTING, has_key, printable

LARGEST_UNTRACKED = 1_000_000
"""Bytes above which an untracked file is named in the record instead of copied into the patch."""


def git_state(start: Path) -> dict[str, Any] | None:
    """The repository around `start`, or None outside one and where git is missing.

    commit: the full hash, None before the first commit.  branch: None where HEAD is detached.
    dirty: whether anything that is not ignored differs from the commit.
    remote: the address of `origin`, else of the first remote, without credentials; None without one.
    left_out: what `changes_patch` omits: untracked files above 1 MB or unreadable, nested repositories, and
        changed files that hold a secret.
    secrets: those, and untracked files that usually hold some, as .env, which it omits too.
    """
    top = top_of(start)
    if top is None:
        return None
    secrets = _secrets(top)
    return {
        "commit": _ask(top, "rev-parse", "--verify", "--quiet", "HEAD"),
        "branch": _ask(top, "symbolic-ref", "--short", "--quiet", "HEAD"),
        "dirty": bool(git(top, "status", "--porcelain", "--untracked-files=normal")),
        "remote": _remote(top),
        "left_out": [*_left_out(top), *(name for name in secrets if not is_secret_name(name))],
        "secrets": secrets,
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
        excluded = [f":(exclude,literal){name}" for name in (*_left_out(top), *_secrets(top))]
        pathspec = os.fsencode("\0".join([".", *excluded]))
        git(top, "add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul", env=private, feed=pathspec)
        options = ("--cached", "--binary", "--no-renames", "--no-ext-diff", "--no-textconv")
        return git(top, "diff-index", *options, _base(top), env=private)


@functools.cache
def source() -> str:
    """The SHA-256 of the project's own code and configurations, as this process first found them."""
    digest = hashlib.sha256()
    for folder, kind in ((Path(__file__).parents[1], "*.py"), (conf_dir(), "*.yaml")):
        for path in sorted(folder.rglob(kind)):
            digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def continued_otherwise(record: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs between a record and what is here and can change the bits, in words.

    here: git, source, packages and hardware, as records have them.
    """
    found = []
    if record.get("source") != here["source"]:
        commits = [(side.get("git") or {}).get("commit") for side in (record, here)]
        found.append(f"code {_short(commits[0])} -> {_short(commits[1])}")
    before, now = (Environment(side["packages"], side["hardware"], 0) for side in (_sides(record), here))
    differing = [item for item in differences(before, now) if item.matters]
    return found + [f"{item.what} {item.recorded} -> {item.here}" for item in differing]


def _sides(record: Mapping[str, Any]) -> dict[str, Any]:
    sides = {key: record.get(key) for key in ("packages", "hardware")}
    return {key: side if isinstance(side, dict) else {} for key, side in sides.items()}


def _short(commit: Any) -> str:
    return printable(str(commit)[:10]) if commit else "without a commit"


@functools.cache
def packages() -> dict[str, str]:
    """The installed distributions and their versions, by name, as this process first found them."""
    read = [item.metadata for item in distributions()]  # once: each look at one parses it anew
    found = {each["Name"]: each["Version"] for each in read if each["Name"]}
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
        "memory": memory(),
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
    untracked = _names(top, "ls-files", "--others", "--exclude-standard")
    return [name for name in untracked if not _portable(top / name)]


def _names(top: Path, command: str, *options: str) -> list[str]:
    """The files that a command of git's lists."""
    return [name for name in os.fsdecode(git(top, command, "-z", *options)).split("\0") if name]


SECRET_NAMES = re.compile(
    r"(?i)(.*/)?(\.env(\..*)?|[^/]*\.env|[._]?netrc|\.pypirc|\.npmrc|\.git-credentials|\.htpasswd|kubeconfig"
    r"|id_(rsa|dsa|ecdsa|ed25519)[^/]*|[^/]*\.(pem|key|p12|pfx|jks|kdbx|keystore|ppk)"
    r"|[^/]*(credentials?|secrets?|token|api[_-]?keys?)(\.(ya?ml|json|toml|ini|txt|cfg))?)"
    r"|(.*/)?\.(ssh|aws|gnupg|kube|azure)/.*"
)


def is_secret_name(name: str) -> bool:
    """Whether files of a name, relative to a repository, usually hold secrets."""
    return SECRET_NAMES.fullmatch(name) is not None


def _secrets(top: Path) -> list[str]:
    """Untracked files that usually hold secrets, and changed ones that hold one by their content."""
    untracked = _names(top, "ls-files", "--others", "--exclude-standard")
    changed = _names(top, "diff", "--name-only", "--no-renames", _base(top))
    holding = [name for name in (*untracked, *changed) if _holds_secret(top / name)]
    return list(dict.fromkeys([*filter(is_secret_name, untracked), *holding]))


def _holds_secret(path: Path) -> bool:
    if path.is_symlink() or not _portable(path):
        return False
    text = path.read_bytes().decode(errors="replace")
    settings = path.suffix in (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".txt", ".sh", "")
    return has_key(text) or (settings and bool(SECRET_SETTING.search(text)))


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
