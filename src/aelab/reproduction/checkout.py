"""A clean checkout of a recorded run's code in a folder of its own; the user's repository is only read."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aelab.core.errors import ConfigurationError, RunError
from aelab.core.text import printable
from aelab.runs.provenance import git, top_of

HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

# A partial clone would fetch what it lacks.
OFFLINE = {"GIT_ALLOW_PROTOCOL": "none"}


def repository_with(commit: str, start: Path) -> Path:
    """The top folder of the repository around `start`, which must hold the commit; nothing is fetched.

    Raises:
        RunError: there is no repository, or it lacks the commit.
    """
    if not HASH.fullmatch(commit):
        raise RunError(f"the record's commit {printable(commit)!r} is no full hash: give a run as recorded")
    top = top_of(start)
    if top is None:
        raise RunError(
            f"{start} is in no git repository, and the run was made of commit {commit}: give "
            "repository=FOLDER, a checkout that has it"
        )
    try:
        git(top, "cat-file", "-e", f"{commit}^{{commit}}", env=OFFLINE)
    except ConfigurationError:
        raise RunError(
            f"{top} does not have commit {commit}, of which the run was made: fetch it yourself if you trust "
            "where it comes from, or give repository=FOLDER"
        ) from None
    return top


def has_file(repository: Path, commit: str, name: str) -> bool:
    """Whether a commit of a repository has a file."""
    try:
        git(repository, "cat-file", "-e", f"{commit}:{name}", env=OFFLINE)
    except ConfigurationError:
        return False
    return True


@contextmanager
def clean_checkout(repository: Path, commit: str, patch: bytes) -> Iterator[Path]:
    """A temporary checkout of a commit with a patch applied, removed at the end.

    It is a repository of its own that borrows the objects of the other, where a kill leaves nothing.

    Raises:
        RunError: the patch does not apply, or leaves the tree.
    """
    with tempfile.TemporaryDirectory(prefix="aelab-", ignore_cleanup_errors=True) as scratch:
        tree = Path(scratch).resolve() / "tree"
        tree.mkdir()
        _borrow(repository, tree)
        git(tree, "checkout", "--quiet", "--detach", commit, env=OFFLINE)
        if patch:
            _apply(tree, patch)
        yield tree


def _borrow(repository: Path, tree: Path) -> None:
    """Make `tree` an empty repository that reads the objects of another one."""
    questions = (["--show-object-format"], ["--git-path", "objects"])
    answers = [git(repository, "rev-parse", *question) for question in questions]
    kind, objects = (os.fsdecode(answer).rstrip("\n") for answer in answers)
    git(tree, "init", "--quiet", "--template=", f"--object-format={kind}")
    git(tree, "config", "core.hooksPath", os.devnull)
    alternates = tree / ".git" / "objects" / "info" / "alternates"
    alternates.parent.mkdir(parents=True, exist_ok=True)
    alternates.write_bytes(os.fsencode(repository / objects) + b"\n")


def _apply(tree: Path, patch: bytes) -> None:
    try:
        # git itself refuses paths that leave the tree, lie beyond a link in it, or enter .git.
        git(tree, "apply", "--whitespace=nowarn", "-", feed=patch)
    except ConfigurationError as error:
        reason = str(error).partition("(")[2].rpartition(")")[0]
        raise RunError(
            f"changes.patch does not apply to its commit ({printable(reason)}): give a run as it was recorded"
        ) from None


def diffstat(patch: bytes) -> str:
    """The files that a patch changes, by how many lines each; nothing is applied, names are quoted."""
    try:
        with tempfile.TemporaryDirectory() as nowhere:
            listed = git(Path(nowhere), "apply", "--stat", "--summary", "-", feed=patch)
    except ConfigurationError:
        raise RunError("changes.patch is no patch that git can read: give a run as it was recorded") from None
    return "".join(f"{printable(line)}\n" for line in listed.decode(errors="replace").splitlines())
