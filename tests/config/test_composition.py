"""The command line's manners: what can be overridden, and what a mistake is answered with."""

import os
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from hydra import version
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from aelab.config.compose import compose
from aelab.config.folders import choices
from aelab.core.errors import ConfigurationError
from aelab.core.paths import conf_dir

ROOT = Path(__file__).parents[2]


def script(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/train.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60)


@pytest.fixture
def without_torch(tmp_path, script_environment):
    """An environment in which importing torch is an error of its own."""
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    first = os.pathsep.join([str(tmp_path), *filter(None, [script_environment.get("PYTHONPATH")])])
    return {**script_environment, "PYTHONPATH": first}


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("trainer.max_epoch=3", "trainer.max_epochs"),
        ("objective.terms.kl.wieght=3", "objective.terms.kl.weight"),
        ("trainer.gradient_clip_val=1", "training.gradient_clip_val"),
        ("variant=vea", "vae"),
        ("variants=vae", "variant"),
        ("+nothing.reads.this=1", "unknown option 'nothing'"),
        ("data.root=/x", "'data.root'; data has name, source, shape, bounds, classes"),
        ("seed.zzz.y=3", "'seed.zzz.y'; seed is one value: give seed="),
        ("objective.terms.kl.zzz=3", "did you mean objective.terms.kl.weight?"),
        ("zzz=3", "'zzz'; there are name, tags, seed"),
        ("outputs=~/runs", "quotes of its own, as 'outputs=\"~/runs\"'"),
        ("name=[a,b", "cannot read the override 'name=[a,b': no viable"),
        ("optimizer.lr=fast", "a number is expected"),
        ("optimizer.fused=perhaps", "true or false is expected"),
    ],
)
def test_a_mistake_is_answered_before_torch_is_imported(override, answer, without_torch):
    done = script(override, **without_torch)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert answer in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_torch_would_have_been_noticed(without_torch):
    assert "torch was imported" in script("trainer.max_epochs=1", **without_torch).stderr


def test_help_and_cfg_say_what_can_be_chosen(without_torch):
    shown = " ".join(script("--help", **without_torch).stdout.split())
    for group in ("variant", "data", "network", "likelihood", "optimizer", "logger"):
        assert f"{group}: {', '.join(choices(group))}" in shown
    composed = script("--cfg", "job", "variant=beta_vae", **without_torch).stdout
    assert "weight: 4.0" in composed


def test_nothing_is_left_behind_by_a_mistake(tmp_path, without_torch):
    script("latent=zero", cwd=tmp_path, **without_torch)
    assert [path.name for path in tmp_path.iterdir()] == ["torch.py"]


def test_compose_raises_the_same_sentences():
    with pytest.raises(ConfigurationError, match="did you mean latent"):
        compose(["latnt=3"])


def test_command_line_choices_win_over_a_variants():
    config = compose(["variant=ae", "likelihood=bernoulli", "objective.terms.reconstruction.weight=2"])
    assert config.model.likelihood._target_.endswith("Bernoulli")
    assert config.objective.terms.reconstruction.weight == 2
    assert config.model.prior is None


def test_values_arrive_where_they_are_read():
    config = compose(["objective.terms.kl.weight=0.25", "latent=7", "data.batch_size=9"])
    assert config.objective.terms.kl.weight == 0.25
    assert config.latent == config.model.latent == 7
    assert config.data.batch_size == 9


def test_several_of_a_group_can_be_chosen():
    config = compose(["logger=[csv,tensorboard]", "callback=[ema]", "objective/penalty=[l1,l2]"])
    assert set(config.logger) == {"csv", "tensorboard"}
    assert set(config.callbacks) == {"ema"}
    assert set(config.objective.terms) == {"reconstruction", "kl", "l1", "l2"}


def test_every_group_mirrors_the_source():
    """A newcomer finds the code of a group by its name."""
    # Parts of torch and Lightning; files that choose among others; models/ladder and jobs/anomaly.
    homes = {"callback", "logger", "trainer", "optimizer", "lr_schedule"}
    homes |= {"variant", "experiment", "debug", "local", "structure", "score"}
    for group in (path for path in conf_dir().iterdir() if path.is_dir() and path.name not in homes):
        source = ROOT / "src/aelab"
        stems = {path.stem for path in source.rglob("*") if path.suffix == ".py" or path.is_dir()}
        singular = {stem.removesuffix("s") for stem in stems} | stems
        assert {group.name, f"{group.name}ion", group.name.replace("y", "ie")} & singular or any(
            stem.startswith(group.name) for stem in stems
        ), group.name


@pytest.mark.parametrize(
    "override",
    [
        "logger.mlflow.tracking_uri=https://me:hunter2@host/",
        "data.source.mirrors=[ftp://:hunter2@x/]",
        "logger.mlflow.tracking_uri=https://hunter2@host/",
        "logger.mlflow.tracking_uri=https://host/?api_key=hunter2",
        "+logger.wandb.api_key=hunter2",
    ],
)
def test_a_password_is_refused_before_anything_keeps_it(override, tmp_path):
    with pytest.raises(ConfigurationError, match=r"is an address with a password|is a secret") as refused:
        compose(["logger=mlflow", override])
    assert "hunter2" not in str(refused.value)
    script = Path(__file__).parents[2] / "scripts" / "train.py"
    done = subprocess.run(
        [sys.executable, script, "-m", override, "seed=0,1"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr
    assert "every option is recorded" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_address_without_a_password_is_no_secret():
    found = compose(["logger=mlflow", "logger.mlflow.tracking_uri=https://host:5000/x:y@z"])
    assert found.logger.mlflow.tracking_uri == "https://host:5000/x:y@z"


def test_folds_take_the_place_of_the_size_that_a_data_set_has_by_default():
    data = compose(["data=mnist", "data.folds=5", "data.fold=2"]).data
    assert (data.validation, data.folds, data.fold) == (None, 5, 2)
    assert compose(["data=mnist"]).data.validation == 5000
    with pytest.raises(ConfigurationError, match=r"data\.validation=1000 and data\.folds=5 both say"):
        compose(["data=mnist", "data.folds=5", "data.validation=1000"])


def test_a_host_s_own_hydra_is_as_it_was():
    with hydra.initialize(config_path=None, version_base="1.2"):
        HydraConfig.instance().set_config(hydra.compose(overrides=["+a=1"], return_hydra_config=True))
        its = GlobalHydra.instance(), GlobalHydra.instance().hydra, HydraConfig.get(), version.getbase()
        assert compose(["latent=3"]).latent == 3
        for wrong in ("latnt=3", "variant=vea"):
            with pytest.raises(ConfigurationError, match="unknown"):
                compose([wrong])
        now = GlobalHydra.instance(), GlobalHydra.instance().hydra, HydraConfig.get(), version.getbase()
        assert all(a is b for a, b in zip(its, now, strict=True))
        assert hydra.compose(overrides=["+a=2"]).a == 2


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seed=null", "a number is expected here, as 0"),
        ("resume_points.every_seconds=null", "a number is expected here"),
        ("name=null", "a word is expected here"),
        ("threads=abc", "threads=abc: a whole number is needed"),
        ("logger=null", r"give logger=\[\] for none"),
        ("corruption=null", "give corruption=none for none"),
        ("optimizer=null", "choose of adam,"),
        ("debug=null", "or leave it out"),
        ("monitor=null", "give its options one by one"),
        ("objective.terms.kl=null", "give its options one by one"),
        ("model.posterior=foo", "choose posterior=NAME"),
        ("+trainer.accumulate_grad_batches=2", "choose training.accumulate_grad_batches=N"),
        ("trainer.gradient_clip_val=1", "choose training.gradient_clip_val=X"),
        ("+trainer.fast_dev_run=true", "choose debug=fast_dev_run"),
        ("hydra.run.dir=here", "outputs=FOLDER"),
    ],
)
def test_what_is_no_value_is_answered_by_what_works(override, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        compose([override])


@pytest.mark.parametrize("override", ["monitor.metric=null", "threads=null", "model.conditioner=null"])
def test_null_is_a_value_where_it_asks_for_nothing(override):
    compose([override])
