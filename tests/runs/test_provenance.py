"""What is recorded of the code can be applied again, in real repositories; no secret gets into it."""

import json
import os
import subprocess
import sys

import pytest

from aelab.core.errors import ConfigurationError
from aelab.runs.provenance import changes_patch, command, git_state, hardware, packages

SECRET = "hunter2"


def git(where, *arguments, feed=None):
    call = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "protocol.file.allow=always"]
    answer = subprocess.run([*call, *arguments], cwd=where, input=feed, capture_output=True, check=True)
    return answer.stdout


@pytest.fixture
def repository(tmp_path):
    """A repository of one commit: text, a script, bytes, a link, and a file of secrets that is ignored."""
    top = tmp_path / "a repository: with a colon"
    top.mkdir()
    git(top, "init", "--quiet", "--initial-branch=work")
    (top / ".gitignore").write_text("ignored/\n")
    (top / "text.txt").write_text("one\ntwo\n")
    (top / "gone.txt").write_text("to be deleted\n")
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "image.bin").write_bytes(bytes(range(256)) * 4)
    (top / "link").symlink_to("text.txt")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message=first")
    (top / "ignored").mkdir()
    (top / "ignored" / "key").write_text(SECRET)
    return top


def change(top):
    """One of every kind of change."""
    (top / "text.txt").write_text("one\r\nTWO\nno newline")
    (top / "gone.txt").unlink()
    (top / "run.sh").chmod(0o755)
    (top / "image.bin").write_bytes(os.urandom(2000))
    (top / "link").unlink()
    (top / "link").symlink_to("new")
    (top / "new dir").mkdir()
    (top / "new dir" / "unträcked :(glob)*.py").write_text("x = 1\n")
    (top / "new dir" / "raw.bin").write_bytes(b"\0\1\2")
    (top / "empty").write_text("")
    (top / "staged.txt").write_text("staged\n")
    git(top, "add", "staged.txt")
    (top / "staged.txt").write_text("staged, then changed\n")


def tree(top):
    """Every path that is not ignored, with its kind, its mode and its bytes."""
    listed = git(top, "ls-files", "--cached", "--others", "--exclude-standard", "-z").decode().split("\0")
    paths = [top / name for name in set(listed) - {""} if os.path.lexists(top / name)]
    return {
        str(path.relative_to(top)): str(path.readlink())
        if path.is_symlink()
        else (path.stat().st_mode & 0o100, path.read_bytes())
        for path in paths
    }


def applied(top, patch, tmp_path):
    clean = tmp_path / "clean"
    git(tmp_path, "clone", "--quiet", str(top), str(clean))
    if patch:
        git(clean, "apply", "--whitespace=nowarn", "-", feed=patch)
    return tree(clean)


def test_the_patch_gives_the_same_tree(repository, tmp_path):
    change(repository)
    patch = changes_patch(repository)
    assert applied(repository, patch, tmp_path) == tree(repository)
    assert SECRET.encode() not in patch


def test_the_patch_is_the_whole_repositorys_from_any_folder_of_it(repository):
    change(repository)
    assert changes_patch(repository / "new dir") == changes_patch(repository) != b""


@pytest.mark.parametrize(
    "setting", ["noprefix=true", "external=false", "mnemonicPrefix=true", "renames=copies"]
)
def test_the_users_settings_change_nothing(repository, tmp_path, setting):
    git(repository, "config", *f"diff.{setting}".split("="))
    git(repository, "config", "color.ui", "always")
    change(repository)
    assert applied(repository, changes_patch(repository), tmp_path) == tree(repository)


def test_rules_on_line_endings_do_not_stop_the_patch(repository):
    git(repository, "config", "core.autocrlf", "input")
    git(repository, "config", "core.safecrlf", "true")
    (repository / "text.txt").write_bytes(b"one\r\nTWO\r\n")
    assert b"+TWO" in changes_patch(repository)


def test_an_untracked_file_makes_a_repository_dirty_whatever_status_shows(repository):
    git(repository, "config", "status.showUntrackedFiles", "no")
    (repository / "new.py").write_text("")
    assert git_state(repository)["dirty"]


def test_a_clean_repository_has_an_empty_patch(repository):
    assert changes_patch(repository) == b""
    state = git_state(repository)
    assert state["commit"] == git(repository, "rev-parse", "HEAD").decode().strip()
    assert (state["branch"], state["dirty"], state["remote"], state["left_out"]) == ("work", False, None, [])


def test_the_repository_is_left_untouched(repository):
    change(repository)
    before = {path: path.read_bytes() for path in (repository / ".git").rglob("*") if path.is_file()}
    changes_patch(repository)
    assert git_state(repository)["dirty"]
    assert {path: path.read_bytes() for path in (repository / ".git").rglob("*") if path.is_file()} == before


def test_a_change_of_equal_size_and_time_is_seen(repository):
    """Git looks into a file no older than its index, so the copy of the index must keep the time."""
    git(repository, "config", "core.trustctime", "false")
    text, moment = repository / "text.txt", (10**18, 10**18)
    os.utime(text, ns=moment)
    git(repository, "update-index", "--refresh")
    text.write_text("ONE\nTWO\n")
    for path in (text, repository / ".git" / "index"):
        os.utime(path, ns=moment)
    assert b"+ONE" in changes_patch(repository)


def test_before_the_first_commit_the_patch_is_against_nothing(tmp_path):
    top = tmp_path / "new"
    top.mkdir()
    git(top, "init", "--quiet")
    (top / "first.txt").write_text("hello\n")
    state = git_state(top)
    assert (state["commit"], state["dirty"]) == (None, True)
    assert applied(top, changes_patch(top), tmp_path) == tree(top)


def test_what_holds_secrets_is_named_and_stays_out_of_the_patch(repository):
    secret = "hunter2hunter2"
    (repository / "conf").mkdir()
    files = {
        ".env": f"export WANDB_API_KEY={secret}",
        "netrc": f"machine host password {secret}",
        "conf/mine.yaml": f"logger:\n  api_key: {secret}",
        "text.txt": f"hf_{secret}",  # tracked
    }
    for name, text in files.items():
        (repository / name).write_text(text)
    (repository / "harmless.yaml").write_text("token: null\nkey: value\n")
    state, patch = git_state(repository), changes_patch(repository)
    assert set(state["secrets"]) == set(files)
    assert set(state["left_out"]) == {"conf/mine.yaml", "text.txt"}  # without them it is not the same code
    assert secret.encode() not in patch
    assert b"harmless.yaml" in patch


def test_large_untracked_files_and_nested_repositories_are_named_instead(repository, tmp_path):
    (repository / "data[1].bin").write_bytes(b"\0" * 1_000_001)
    (repository / "data1.bin").write_bytes(b"\1" * 1_000_000)
    (repository / "nested").mkdir()
    git(repository / "nested", "init", "--quiet")
    (repository / "nested" / "file").write_text("x")
    assert git_state(repository)["left_out"] == ["data[1].bin", "nested/"]
    restored = set(applied(repository, changes_patch(repository), tmp_path))
    assert restored == {".gitignore", "text.txt", "gone.txt", "run.sh", "image.bin", "link", "data1.bin"}


def test_a_detached_head_has_no_branch(repository):
    git(repository, "checkout", "--quiet", "--detach")
    assert git_state(repository)["branch"] is None


def test_a_git_hooks_environment_does_not_mislead(repository, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert git_state(repository)["commit"] is not None
    assert changes_patch(repository) == b""


def test_outside_a_repository_there_is_nothing_to_say(tmp_path):
    for place in (tmp_path, tmp_path / "absent"):
        assert git_state(place) is None
        assert changes_patch(place) == b""


def test_without_git_there_is_nothing_to_say(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert git_state(repository) is None
    assert changes_patch(repository) == b""


def test_a_damaged_repository_is_one_sentence(repository):
    (repository / ".git" / "index").write_bytes(b"not an index")
    with pytest.raises(
        ConfigurationError, match=r"^git [a-z-]+ failed in .*: mend the repository\.$"
    ) as error:
        changes_patch(repository)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "recorded"),
    [
        (f"https://me:{SECRET}@example.org/team/code.git", "https://example.org/team/code.git"),
        (f"https://{SECRET}@example.org/team/code.git", "https://example.org/team/code.git"),
        (f"https://me:a@b/{SECRET}@example.org/code.git", "https://example.org/code.git"),
        (f"https://example.org/code.git?token={SECRET}#x", "https://example.org/code.git"),
        (f"ssh://git:{SECRET}@example.org:22/code.git", "ssh://example.org:22/code.git"),
        (f"helper::https://me:{SECRET}@example.org/code", "helper::https://example.org/code"),
        (f"me:{SECRET}@example.org:code.git", "example.org:code.git"),
        ("git@example.org:team/code.git", "git@example.org:team/code.git"),
        ("/srv/code.git", "/srv/code.git"),
    ],
)
def test_credentials_of_the_remote_are_never_recorded(repository, url, recorded):
    git(repository, "remote", "add", "upstream", url)
    assert git_state(repository)["remote"] == recorded
    git(repository, "remote", "add", "origin", "https://example.org/fork.git")
    assert git_state(repository)["remote"] == "https://example.org/fork.git"


def test_packages_are_names_and_versions():
    found = packages()
    assert found["torch"].startswith("2.")
    assert list(found) == sorted(found, key=str.lower)


def test_the_hardware_is_described():
    found = hardware()
    assert found["memory"] > 1_000_000_000
    assert found["cpu_count"] >= 1
    assert found["threads"] >= 1
    assert found["cpu"]
    assert isinstance(found["gpus"], list)
    assert json.loads(json.dumps(found)) == found


def test_the_command_is_what_was_typed():
    script = "from aelab.runs.provenance import command; print(command())"
    call = [sys.executable, "-X", "utf8", "-c", script, "latent=16"]
    assert subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip() == str(call)
    assert command() == sys.orig_argv


def test_the_environment_is_not_recorded(repository, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    recorded = [git_state(repository), packages(), hardware(), command(), changes_patch(repository)]
    assert SECRET not in repr(recorded)
