"""`aelab` as a user meets it: what there is, what a mistake is answered with, parts of one's own, JSON."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from signal import SIGINT
from types import SimpleNamespace

import forks
import pytest
from omegaconf import OmegaConf
from small import SMALL, TINY, only

import aelab
from aelab.cli import console
from aelab.cli.completion import candidates, script
from aelab.cli.help import help_of
from aelab.cli.overview import commands, overview
from aelab.config.folders import choices, searched_first
from aelab.config.trusted import parts
from aelab.core.errors import ConfigurationError, RunError
from aelab.core.invocation import Invocation
from aelab.core.paths import conf_dir
from aelab.core.signals import Terminated
from aelab.runs.fit import status_of
from aelab.runs.folder import RunFolder

SOURCE = Path(__file__).parents[2] / "src"
STUB = f"#!{sys.executable}\nfrom aelab.cli.console import main\nif __name__ == '__main__':\n    main()\n"
NETWORK = """# @package model
encoder:
  _target_: mine.Encoder
  _partial_: true
  widths: [16]
  activation: {_target_: torch.nn.ReLU, _partial_: true}
decoder:
  _target_: aelab.models.networks.mlp.MLPDecoder
  _partial_: true
  widths: [16]
  activation: ${model.encoder.activation}
"""


@pytest.fixture
def user(tmp_path, script_environment):
    """An empty folder of a user with the console command on the PATH: runs a line there."""
    program = tmp_path / "bin" / "aelab"
    program.parent.mkdir()
    program.write_text(STUB)
    program.chmod(0o755)
    (tmp_path / "here").mkdir()
    environment = {
        **script_environment,
        "PATH": os.pathsep.join([str(program.parent), script_environment.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join([str(SOURCE), str(tmp_path / "lib")]),
    }

    def run(*words, **more):
        return subprocess.run(
            words,
            cwd=tmp_path / "here",
            env={**environment, **more},
            capture_output=True,
            text=True,
            timeout=170,
        )

    def fork(*words):
        """The same in a fork of this process, which has imported torch."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(run.folder)
            return forks.run(program, *words, env=environment)

    run.folder, run.fork = tmp_path / "here", fork
    return run


@pytest.fixture
def own(user):
    """A folder of configurations of the user's own, with a network of a package of theirs."""
    (user.folder.parent / "lib").mkdir()
    (user.folder.parent / "lib" / "mine.py").write_text(
        "from aelab.models.networks.mlp import MLPEncoder\n\n\nclass Encoder(MLPEncoder): ...\n"
    )
    conf = user.folder / "conf"
    for name, text in {
        "network/mine": NETWORK,
        "optimizer/adam": "_target_: torch.optim.Adam\n_partial_: true\nlr: 0.0123\n",
        "local/default": "# @package _global_\nthreads: 1\n",
    }.items():
        path = conf / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return conf


def documents(text):
    """The JSON documents that follow each other in a text of nothing else."""
    found = []
    while text := text.strip():
        document, end = json.JSONDecoder().raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def test_each_command_is_a_file_of_conf_and_a_module_and_a_script():
    names = {path.stem for path in conf_dir().glob("*.yaml")}
    assert set(commands()) == {*names, "sweep"}
    for name in names:
        assert (SOURCE / "aelab" / "cli" / f"{name}.py").is_file()
        assert f'run("{name}")' in (SOURCE.parent / "scripts" / f"{name}.py").read_text()
    assert all(line.endswith(".") for line in commands().values())


@pytest.mark.parametrize("name", sorted({*commands()} - {"sweep"}))
def test_help_says_a_command_s_own_options_and_no_others(monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "120")
    shown, own = help_of(name), OmegaConf.load(conf_dir() / f"{name}.yaml")
    assert commands()[name] in shown
    for key in set(own) - {"hydra", "defaults"}:
        assert re.search(rf"^  {key}:", shown, re.MULTILINE), key
    assert not re.search(r"^  (hydra|defaults):", shown, re.MULTILINE)
    assert ("  variant: " in shown) == (name == "train")
    assert len(shown.splitlines()) < 130


@pytest.mark.parametrize("name", [None, *sorted({*commands()} - {"sweep"})])
def test_help_fits_a_narrow_terminal_but_for_commands_to_be_copied(name, monkeypatch):
    shown = overview() if name is None else help_of(name)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = overview() if name is None else help_of(name)
    assert all(len(line) <= 80 or line.startswith("  aelab ") for line in narrow.splitlines())
    assert narrow.replace("#", "").split() == shown.replace("#", "").split()


def test_a_part_of_a_training_is_no_option_of_a_comparison(user):
    shown = user("aelab", "compare", "variant=iwae").stderr
    assert shown.startswith(
        "error: variant= is of training, and aelab compare has no use for it: it takes run, runs,"
    )


def test_without_words_it_says_what_there_is(user):
    shown = user("aelab")
    assert shown.returncode == 0
    for name, line in commands().items():
        assert f" {name} {line} " in f" {' '.join(shown.stdout.split())} ", (
            name
        )  # a narrow terminal breaks it
    assert user("aelab", "--help").stdout == user(sys.executable, "-m", "aelab").stdout == shown.stdout
    assert user("aelab", "--version").stdout == f"{aelab.__version__}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["trian"], "unknown command 'trian'; did you mean train?"),
        (["variant=vae"], "unknown command 'variant=vae'; there are augment, compare, compress"),
        (["sample", "--json", "run=x"], "--json is for what ends with a table: train, evaluate"),
        (["train", "--jsn"], "unknown flag --jsn; did you mean --json?"),
        (["train", "--config-dir"], "expected one argument"),
        (["train", "--config-dir", "nowhere"], "nowhere is no folder: give one that holds configurations"),
        (["train", "--config-name", "other"], "DIR/experiment/NAME.yaml"),
        (["sweep", "--cfg", "job"], "--cfg shows one configuration: leave out -m"),
        (["sweep", "--tree"], "--tree shows one configuration: leave out -m"),
        (["--completion", "tcsh"], "there is one for bash"),
        (["train", "hydra.run.dir=x"], "hydra.run.dir has no effect here: outputs=FOLDER says where"),
        (["sweep", "hydra.sweep.dir=x", "seed=0,1"], "hydra.sweep.dir has no effect here: outputs=FOLDER"),
        (["sweep", "hydra.sweep.subdir=x", "seed=0,1"], "hydra.sweep.subdir has no effect here: outputs="),
        (["compare", "runs=x", "hydra.run.dir=x"], "hydra.run.dir has no effect here: to=FOLDER says"),
        (["evaluate", "run=x", "hydra.run.dir=x"], "hydra.run.dir has no effect here: leave it out"),
        (["train", "hydra.output_subdir=x"], "hydra.output_subdir has no effect"),
        (["train", "+hydra.job.chdir=true"], "hydra.job.chdir has no effect"),
        (["train", "trainer.fast_dev_run=true"], "does not work here: choose debug=fast_dev_run"),
        (["train", "+trainer.overfit_batches=3"], "does not work here: choose debug=overfit"),
        (["train", "hydra/launcher=joblib"], "unknown hydra/launcher 'joblib'; leave it out"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(user, words, sentence):
    done = user("aelab", *words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert sentence in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(user.folder.iterdir()) == []


def test_a_folder_of_ones_own_holds_for_all_that_a_command_says(user, own):
    shown = user("aelab", "train", "--config-dir", "conf", "network=mine", "--cfg", "job").stdout
    assert "_target_: mine.Encoder" in shown
    assert "lr: 0.0123" in shown  # in the place of the project's file of that name
    assert "threads: 1" in shown  # from local/default
    names = ", ".join(sorted([*choices("network"), "mine"]))
    assert f"network: {names}" in " ".join(user("aelab", "train", "-cd", "conf", "--help").stdout.split())
    mistaken = user("aelab", "train", "--config-dir=conf", "network=mien").stderr
    assert mistaken == "error: unknown network 'mien'; did you mean mine?\n"
    assert "unknown network 'mine'" in user("aelab", "train", "network=mine").stderr


@pytest.mark.slow
def test_parts_of_ones_own_are_trained_evaluated_and_loaded(user, own, monkeypatch):
    conf, few = ["--config-dir", "conf"], [o for o in SMALL if not o.startswith(("model.", "threads"))]
    trained = user.fork("train", *conf, "--json", "network=mine", "name=run", *few)
    (found,) = documents(trained.stdout)
    assert found["status"] == "finished"
    assert found["metrics"]["test/mse"] > 0
    assert "test metric" in trained.stderr
    folder = Path(found["run"])

    def result(*words):
        (document,) = documents(user.fork(*words, "--json").stdout)
        return document

    estimates = result("evaluate", *conf, f"run={folder}", *TINY, *only("reconstruction"))["estimates"]
    assert estimates["reconstruction/mse"]["value"] > 0
    comparison = result("compare", "runs=outputs/run")
    assert comparison["runs"][0]["seed"] == found["seed"] == 0
    assert {row["metric"] for row in comparison["metrics"]} >= {"test/elbo", "test/mse"}
    (checked,) = result("reproduce", *conf, "runs=outputs/run", "check=true")["runs"]
    assert user.folder / checked["run"] == folder
    planned = result("sweep", *conf, "network=mine", *few, "seed=1,2", "sweep.dry_run=true")
    assert [training[-1] for training in planned["trainings"]] == ["seed=1", "seed=2"]
    assert user.fork("sample", *conf, f"run={folder}", "count=2").returncode == 0
    assert len(list((user.folder / "samples").glob("*.png"))) == 2

    with pytest.raises(RunError, match=r"names 'mine.Encoder'.* --config-dir"):
        aelab.load(folder)
    monkeypatch.syspath_prepend(user.folder.parent / "lib")
    assert type(aelab.load(folder, conf=own).model.encoder).__module__ == "mine"
    with pytest.raises(RunError, match=r"names 'mine.Encoder'"):  # a trust that ends with its call
        aelab.load(folder)


def test_a_run_that_lies_in_a_folder_of_ones_own_lists_no_parts(user, own):
    (own / "outputs" / "run").mkdir(parents=True)
    (own / "outputs" / "run" / "config.yaml").write_text("model: {_target_: os.system}\n")
    with searched_first([own]):
        assert "mine.Encoder" in parts()
        assert "os.system" not in parts()
    assert "mine.Encoder" not in parts()


def test_words_and_those_of_children_go_to_stderr_and_the_result_alone_to_stdout():
    program = """
import os, sys
from aelab.core.terminal import result, results_as_json
with results_as_json():
    print("word")
    os.system("echo child")
    for argument in sys.argv[1:]:
        result(number=float(argument))
print("after")
"""

    def run(*arguments):
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
        assert sorted(done.stderr.split()) == ["child", "word"]
        return done.stdout.removesuffix("after\n")

    assert json.loads(run("nan")) == {"number": None}
    assert json.loads(run("1", "2")) == [{"number": 1}, {"number": 2}]
    assert run() == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("aelab tr", ["train "]),
        ("aelab s", ["sample ", "sweep "]),
        ("aelab train variant=beta_", ["variant=beta_tc_vae ", "variant=beta_vae "]),
        ("aelab sweep -m variant=beta_v", ["variant=beta_vae "]),
        ("aelab train trainer.max_ep", ["trainer.max_epochs="]),
        ("aelab train train", ["trainer=", "trainer.", "training=", "training."]),
        ("aelab train seed=1 optimizer=sgd optimizer.mo", ["optimizer.momentum="]),
        ("aelab evaluate sui", ["suite=", "suite."]),
        ("aelab train sui", []),
        ("aelab train objective/", ["objective/penalty="]),
        ("aelab train run=outputs/", []),
    ],
)
def test_what_a_line_may_go_on_with(line, expected):
    assert sorted(candidates(line).splitlines()) == sorted(expected)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_as_it_calls_the_function(user, own):
    lines = [
        "aelab train variant=beta_v",
        "aelab train --config-dir conf network=mi",
        "aelab eval",
        "aelab train trainer.max_ep",
    ]
    program = 'eval "$(aelab --completion bash)"\ncomplete -p aelab\n'
    for line in lines:
        program += f"COMP_LINE='{line}' COMP_POINT={len(line)} COMPREPLY=()\n"
        program += '_aelab aelab; printf "<%s>\n" "${COMPREPLY[@]}"\n'
    done = user("bash", "-c", program)
    assert done.stderr == ""
    rule, *found = done.stdout.splitlines()
    assert rule.endswith("-F _aelab aelab")
    assert found == ["<beta_vae >", "<mine >", "<evaluate >", "<trainer.max_epochs=>"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_completes_as_it_asks_the_function(user):
    lines = ["aelab eval", "aelab train variant=beta_v", "aelab train trainer.max_ep"]
    program = 'eval "$(aelab --completion fish)"\n' + "\n".join(f'complete -C "{line}"' for line in lines)
    done = user("fish", "-c", program)
    assert done.stderr == ""
    assert done.stdout.split() == ["evaluate", "variant=beta_vae", "trainer.max_epochs="]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_can_read_its_script(user):
    done = user("zsh", "-f", "-c", 'eval "$(aelab --completion zsh)"; print $_comps[aelab]')
    assert (done.stderr, done.stdout) == ("", "_aelab\n")


def test_an_unknown_shell_has_no_completion():
    with pytest.raises(ConfigurationError, match="bash, zsh, fish"):
        script("tcsh")


def test_a_tree_shows_what_a_line_composes_and_does_no_more(user):
    done = user("aelab", "train", "--tree", "variant=beta_vae", "latent=7")
    lines = [line.lstrip("│├└─ \xa0") for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr, lines[0]) == (0, "", "train")
    assert {"variant beta_vae", "latent 7", "weight 4.0"} <= set(lines)
    assert list(user.folder.iterdir()) == []


def test_what_is_shown_to_be_copied_is_what_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "bin" / "aelab"
    program.parent.mkdir()
    program.write_text(STUB)
    program.chmod(0o755)
    called = Invocation(str(program), ("train",), (tmp_path / "my conf",))
    assert called.argv(["seed=1"]) == [str(program), "train", "--config-dir", f"{tmp_path}/my conf", "seed=1"]
    assert called.shown(["a=[1,2]"]) == f"{program} train --config-dir 'my conf' 'a=[1,2]'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert called.shown([]) == "aelab train --config-dir 'my conf'"
    assert Invocation("scripts/train.py").shown(["seed=1"]) == "python scripts/train.py seed=1"
    module = Invocation(f"{SOURCE}/aelab/__main__.py", ("train",))
    assert module.shown(["seed=1"]) == "python -m aelab train seed=1"


def test_ctrl_c_while_a_command_loads_is_one_line(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("aelab.cli.command.carry_out", interrupted)
    with pytest.raises(SystemExit) as end:
        console.run("train", ["seed=1"])
    assert (end.value.code, capsys.readouterr().err) == (130, "interrupted\n")


@pytest.mark.parametrize("points", [[], ["resume-00001-0000000.ckpt"]])
def test_a_signal_advises_a_resume_only_where_there_is_a_point(tmp_path, capsys, points):
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    for name in points:
        (folder.checkpoints / name).touch()
    with pytest.raises(Terminated), status_of(folder, SimpleNamespace(is_global_zero=False)):
        raise Terminated(SIGINT)
    assert (f"continue with resume={tmp_path}" in capsys.readouterr().err) == bool(points)
