"""What cannot be reproduced is refused in a sentence, and a run's folder does no harm."""

import shutil

import pytest
from recorded_runs import ROOT, alter, configure, copy, git, report, reproduce
from servers import Listener, start

from aelab.config.compose import compose
from aelab.core.errors import AelabError, ConfigurationError, RunError
from aelab.reproduction import reproduce as flow
from aelab.reproduction.checkout import clean_checkout, diffstat, repository_with
from aelab.reproduction.recorded_run import read_recorded_run
from aelab.reproduction.retraining import TRAINING_PROCESS
from aelab.runs.find import runs_of
from aelab.runs.folder import RunFolder


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with what is read before anything is trained."""
    top = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "conf", top / "conf")
    (top / "file").write_text("one\n")
    (top / "src" / TRAINING_PROCESS).parent.mkdir(parents=True)
    shutil.copy(ROOT / "src" / TRAINING_PROCESS, top / "src" / TRAINING_PROCESS)
    git(top, "init", "--quiet")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message", "one")
    return top


@pytest.fixture(scope="module")
def commit(repository):
    return git(repository, "rev-parse", "HEAD").decode().strip()


@pytest.fixture(scope="module")
def trained(train_once):
    return train_once()


@pytest.fixture
def run(trained, commit, tmp_path):
    state = {"commit": commit, "branch": "main", "dirty": False, "remote": None, "left_out": []}
    (target := copy(trained, tmp_path / "run")).patch.write_bytes(b"")
    return alter(target, git=state)


@pytest.fixture
def untrained(monkeypatch):
    """Training is what must not be reached."""
    monkeypatch.setattr(flow, "retrain", lambda *_: pytest.fail("it was trained"))


@pytest.fixture
def why(repository, untrained, tmp_path):
    def refused(target, *overrides):
        outputs = tmp_path / "outputs"
        assert reproduce(f"run='{target.path}'", f"repository={repository}", f"to={outputs}", *overrides) == 1
        (found,) = report(outputs)["runs"]
        assert found["verdict"] == "cannot be reproduced"
        (sentence,) = found["why"]
        return sentence

    return refused


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"git": {"commit": "f" * 40}}, "fetch it yourself"),
        ({"git": {"commit": "HEAD"}}, "no full hash"),
        ({"git": {"commit": "--upload-pack=touch x"}}, "no full hash"),
        ({"git": {"commit": None}}, "before its repository had a commit"),
        ({"git": ["commit"]}, "no usable git"),
        ({"git": None, "packages": {"aelab": "0.0.0"}}, "install the version"),
        ({"status": "killed"}, "did not finish"),
        ({"status": "running"}, "did not finish"),
        ({"status": {"a": 1}}, "did not finish"),
        ({"threads": 10**9}, "no usable threads"),
        ({"threads": None}, "no usable threads"),
        ({"packages": None}, "no usable packages"),
        ({"hardware": "fast"}, "no usable hardware"),
        ({"data": {}}, "no usable checksums"),
    ],
)
def test_a_record_that_cannot_be_followed_is_refused(run, why, fields, sentence):
    assert sentence in why(alter(run, **fields))


def test_code_of_an_earlier_layout_is_not_run(run, repository, why, capsys):
    """Its own commit reproduces it: of all others none knows how it is started."""
    git(repository, "rm", "--quiet", f"src/{TRAINING_PROCESS}")
    git(repository, "commit", "--quiet", "--message", "earlier")
    commit = git(repository, "rev-parse", "HEAD").decode().strip()
    alter(run, git={"commit": commit})
    sentence = (
        f"is of an earlier layout of aelab, which this one cannot run: train it again, or check out {commit}"
    )
    try:
        assert sentence in why(run)
        assert reproduce(f"run='{run.path}'", f"repository={repository}", "check=true") == 1
        assert sentence in " ".join(capsys.readouterr().out.split())
    finally:
        git(repository, "reset", "--quiet", "--hard", "HEAD~1")


def test_other_data_are_refused_before_any_training(run, why):
    alter(run, data={"name": "digits", "checksums": {"digits": "sha256:0"}})
    assert "data.root=FOLDER" in why(run)


def test_a_configuration_that_names_what_the_recorded_code_does_not_list_is_not_built(run, why):
    assert "'os.system', which is no part" in why(configure(run, "model.encoder._target_", "os.system"))


def test_a_configuration_without_data_is_refused(run, why):
    assert "(data: missing" in why(configure(run, "data", "text"))


@pytest.fixture
def elsewhere(run, tmp_path, monkeypatch):
    """A run whose folder has a stranger's address for data of its own, and a user without them."""
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    Listener.heard.clear()
    server = start(tmp_path, Listener)
    data = compose(["data=mnist", f"data.source.mirrors=[http://127.0.0.1:{server.server_port}]"]).data
    data.name = data.source.name = "strange"
    yield configure(run, "data", data)
    server.shutdown()
    server.server_close()


def test_data_are_downloaded_from_where_conf_says(elsewhere, repository, why):
    assert "strange" in why(elsewhere)
    assert reproduce(f"run='{elsewhere.path}'", f"repository={repository}", "check=true") == 1
    assert Listener.heard == []


def test_the_recorded_code_is_given_addresses_of_its_own_conf_alone(
    elsewhere, repository, tmp_path, monkeypatch
):
    """Where the running code does not know the data, the training itself is the first to look for them."""
    (repository / "conf" / "data" / "strange.yaml").write_text(
        "name: strange\nsource: {mirrors: ['https://example.org/']}\nold: {_target_: aelab.old.Part}\n"
    )
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "old")
    commit = git(repository, "rev-parse", "HEAD").decode().strip()
    alter(configure(elsewhere, "old", {"_target_": "aelab.old.Part"}), git={"commit": commit})
    given = []

    def retrain(source, settings, *rest):
        given.append(settings)
        raise RunError("not trained")

    monkeypatch.setattr(flow, "retrain", retrain)
    assert reproduce(f"run='{elsewhere.path}'", f"repository={repository}", f"to={tmp_path}") == 1
    (settings,) = given
    assert settings.data.source.mirrors == ["https://example.org/"]
    assert Listener.heard == []


def test_a_damaged_checkpoint_is_refused_before_any_training(run, why):
    path = run.checkpoints / "best.ckpt"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert "best.ckpt is damaged" in why(run)


def test_changes_without_a_commit_are_refused(run, why):
    run.patch.write_bytes(b"diff --git a/x b/x\n")
    assert "no commit that they are of" in why(alter(run, git=None))


def test_changes_that_git_cannot_read_are_refused(run, why):
    run.patch.write_bytes(b"\x00rubbish")
    assert "no patch that git can read" in why(run)


def added(path, mode="100644", content="x"):
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1 @@\n+{content}\n"
    ).encode()


@pytest.mark.parametrize(
    "patch",
    [
        added("../escaped"),
        added("a/../../escaped"),
        added("/tmp/escaped"),
        added(".git/hooks/post-checkout", "100755"),
        added(".git/config"),
        added("link", "120000", "..") + added("link/escaped"),
    ],
)
def test_a_patch_cannot_leave_its_tree(repository, commit, patch, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(RunError, match=r"changes\.patch does not apply"),
        clean_checkout(repository, commit, patch),
    ):
        pytest.fail("it was applied")
    assert not list(tmp_path.iterdir())


def test_names_in_a_patch_are_shown_harmlessly():
    shown = diffstat(added('"b/a\\033[31m\\nname"'.replace("b/", "")))
    assert "\x1b" not in shown


def test_a_tree_is_the_commit_and_leaves_the_repository_alone(repository, commit):
    (repository / "file").write_text("two\n")
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    patch = git(repository, "diff").replace(b"+two", b"+three")
    before[repository / ".git" / "index"] = (repository / ".git" / "index").read_bytes()
    try:
        with clean_checkout(repository, commit, b"") as tree:
            assert (tree / "file").read_text() == "one\n"
        with clean_checkout(repository, commit, patch) as tree:
            assert (tree / "file").read_text() == "three\n"
        assert not tree.exists()
        assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()} == before
    finally:
        (repository / "file").write_text("one\n")


def test_hooks_of_the_user_are_not_run(repository, commit, tmp_path, monkeypatch):
    (hooks := tmp_path / "hooks").mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "post-checkout").chmod(0o755)
    (tmp_path / "gitconfig").write_text(f"[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    with clean_checkout(repository, commit, b""):
        pass
    assert not (tmp_path / "ran").exists()


def test_a_commit_that_is_elsewhere_is_not_fetched(repository, tmp_path):
    origin, partial = tmp_path / "origin", tmp_path / "partial"
    git(tmp_path, "clone", "--quiet", str(repository), str(origin))
    for option in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git(origin, "config", option, "true")
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", f"file://{origin}", str(partial))
    (origin / "file").write_text("planted\n")
    git(origin, "commit", "--quiet", "--all", "--message", "planted")
    planted = git(origin, "rev-parse", "HEAD").decode().strip()
    with pytest.raises(RunError, match="fetch it yourself"):
        repository_with(planted, partial)
    git(partial, "cat-file", "-e", planted)  # left to itself, git does fetch it


def test_a_place_without_a_repository_is_named(commit, tmp_path):
    with pytest.raises(RunError, match="repository=FOLDER"):
        repository_with(commit, tmp_path)


def test_a_check_trains_and_writes_nothing(run, repository, untrained, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    alter(run, packages={**run.read()["packages"], "torch": "0.4.1", "rich": "1.0\x1b[31m"})
    run.patch.write_bytes(added("x"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert reproduce(f"run='{run.path}'", f"repository={repository}", "check=true") == 2
    shown = capfd.readouterr().out
    assert "0.4.1" in shown
    assert "rich (1.0\\x1b[31m" in shown
    assert "a tolerance is needed" in shown
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_check_of_an_equal_environment_promises_the_same_bits(run, repository, capfd):
    assert reproduce(f"run='{run.path}'", f"repository={repository}", "check=true") == 0
    assert "the same bits are expected" in capfd.readouterr().out


def test_changes_that_the_record_lacks_are_a_difference(run, repository, capfd):
    state = {**run.read()["git"], "dirty": True, "left_out": ["big.bin"]}
    assert reproduce(f"run='{alter(run, git=state).path}'", f"repository={repository}", "check=true") == 2
    assert "big.bin" in capfd.readouterr().out
    state["left_out"] = []
    assert read_recorded_run(alter(run, git=state).path).gaps()[0].recorded == "changes of the source"


@pytest.mark.parametrize("overrides", [[], ["run=a", "runs=[b]"]])
def test_runs_are_given_in_one_way(overrides):
    with pytest.raises(ConfigurationError, match="either run=FOLDER"):
        reproduce(*overrides)


def test_runs_are_found_by_list_pattern_and_parent(tmp_path):
    for name in ("a/1", "a/2", "b/1", "outputs/new"):
        (tmp_path / name).mkdir(parents=True)
        RunFolder(tmp_path / name).update(status="finished")
    (tmp_path / "outputs" / "reproduction.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    shutil.copytree(tmp_path / "a" / "1", tmp_path / "a" / "1" / "within")

    def found(run, runs=None):
        return [str(path.relative_to(tmp_path)) for path in runs_of(run, runs)]

    assert found(str(tmp_path / "a" / "1")) == ["a/1"]
    assert found(str(tmp_path)) == ["a/1", "a/2", "b/1"]
    assert found(str(tmp_path / "outputs")) == ["outputs/new"]
    assert found(None, str(tmp_path / "*" / "1")) == ["a/1", "b/1"]
    assert found(None, [str(tmp_path / "b"), str(tmp_path / "a"), str(tmp_path / "a" / "2")]) == [
        "b/1",
        "a/1",
        "a/2",
    ]
    assert found(str(tmp_path / "a" / "1" / "within")) == ["a/1/within"]
    assert found(str(tmp_path / "empty")) == ["empty"]
    assert found(None, str(tmp_path / "[be]*")) == ["b/1", "empty"]
    assert found(None, [str(tmp_path / "missing*")]) == ["missing*"]
    with pytest.raises(AelabError, match="no run folder"):
        read_recorded_run(tmp_path / "empty")


def test_outputs_that_cannot_be_written_are_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="choose a writable folder"):
        reproduce(f"run='{run.path}'", f"to={tmp_path / 'file'}/x")


def test_data_that_lie_in_no_folder_cannot_be_moved(run, repository, tmp_path, capfd):
    assert reproduce(f"run='{run.path}'", f"repository={repository}", "check=true", "data.root=x") == 1
    assert "leave it out" in capfd.readouterr().out
