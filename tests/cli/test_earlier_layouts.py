"""A run that was trained before the project's parts moved: every command says so, and what to do."""

import shutil

import pytest
from omegaconf import OmegaConf

import aelab
from aelab.cli.compare import compared
from aelab.cli.explore import explorer_of
from aelab.config.compose import compose
from aelab.config.recorded import recorded_settings
from aelab.core.signals import Signals
from aelab.runs import train as training
from aelab.runs.folder import Run

EARLIER = "aelab.networks.mlp.MLPEncoder"
SENTENCE = (
    rf"is of an earlier layout of aelab \(it names {EARLIER}\): train the run again, or check out the commit"
)


@pytest.fixture(scope="module")
def run(train_once):
    return train_once()


@pytest.fixture
def earlier(run, tmp_path):
    """A copy of a run, whose encoder stands where it stood before."""
    path = shutil.copytree(run.path, tmp_path / "vae" / "run")
    config = OmegaConf.load(path / "config.yaml")
    config.model.encoder._target_ = EARLIER
    OmegaConf.save(config, path / "config.yaml")
    return path


@pytest.mark.parametrize(
    "command",
    [
        lambda path, run, evaluate: aelab.load(path),
        lambda path, run, evaluate: explorer_of(path, compose([f"run={path}"], "explore")),
        lambda path, run, evaluate: training.resume(Run.open(path), Signals()),
        lambda path, run, evaluate: compared(OmegaConf.to_container(compose([f"runs={path}"], "compare"))),
        lambda path, run, evaluate: evaluate(Run.open(path).folder),
        lambda path, run, evaluate: evaluate(run, f"peers=[{path}]"),
    ],
    ids=["load", "explore", "train", "compare", "evaluate", "peers"],
)
def test_every_command_refuses_it_in_one_sentence(earlier, run, evaluate, command):
    with pytest.raises(aelab.core.errors.AelabError, match=SENTENCE) as refusal:
        command(earlier, run, evaluate)
    assert len(str(refusal.value).splitlines()) == 1


def test_parts_of_a_user_s_own_are_none_of_an_earlier_layout(run, tmp_path):
    path = shutil.copytree(run.path, tmp_path / "run")
    config = OmegaConf.load(path / "config.yaml")
    config.model.encoder._target_ = "networks_of_mine.Encoder"
    OmegaConf.save(config, path / "config.yaml")
    assert recorded_settings(path / "config.yaml") == config
