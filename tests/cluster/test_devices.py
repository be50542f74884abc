"""How many processes a training asks for, and what no machine has."""

import pytest
from omegaconf import OmegaConf
from small import SMALL

from aelab.cluster import devices
from aelab.cluster.devices import processes, uses_gpus, world_size
from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError, ResumeError
from aelab.core.signals import Signals
from aelab.runs import train as training
from aelab.runs.folder import Run, Status


def trainer(asked, accelerator="cpu", nodes=1):
    return OmegaConf.create({"accelerator": accelerator, "devices": asked, "num_nodes": nodes})


@pytest.fixture
def eight(monkeypatch):
    """A machine with eight GPUs, as far as counting goes."""
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: 8)


@pytest.mark.parametrize(
    ("asked", "accelerator", "count"),
    [
        (2, "cpu", 2), ("2", "cpu", 2), ("auto", "cpu", 1),
        (8, "gpu", 8), ("auto", "auto", 8), (-1, "gpu", 8),
        ([0, 3], "gpu", 2), ("0,3", "gpu", 2), ("3,", "gpu", 1),
    ],
)  # fmt: skip
def test_processes_are_counted_as_lightning_does(eight, asked, accelerator, count):
    assert processes(trainer(asked, accelerator)) == count


@pytest.mark.parametrize("asked", [0, -2, "0", [], [-1], [0, 0], "many", True, None, 1.5])
def test_no_machine_has_such_devices(asked):
    with pytest.raises(ConfigurationError, match=r"trainer\.devices"):
        processes(trainer(asked))


@pytest.mark.parametrize("nodes", [0, -1, "two", 1.5])
def test_no_cluster_has_such_nodes(nodes):
    with pytest.raises(ConfigurationError, match=r"trainer\.num_nodes"):
        world_size(trainer(1, nodes=nodes))


def test_more_gpus_than_there_are(eight):
    assert world_size(trainer(8, "gpu", nodes=2)) == 16
    assert not uses_gpus(trainer(8))
    with pytest.raises(ConfigurationError, match="asks for 9 GPUs and this machine shows 8"):
        processes(trainer(9, "gpu"))


@pytest.mark.parametrize("override", ["trainer.devices=0", "trainer.devices=-3", "trainer.num_nodes=0"])
def test_they_are_refused_before_a_folder_exists(tmp_path, override):
    with Signals() as signals, pytest.raises(ConfigurationError):
        training.train(compose([*SMALL, override, f"outputs={tmp_path}"]), signals)
    assert not list(tmp_path.iterdir())


def test_a_run_is_continued_by_as_many_processes(train):
    run = train()
    run.update(status=Status.KILLED, processes=8)
    with Signals() as signals, pytest.raises(ResumeError, match="trained by 8 processes"):
        training.resume(Run.open(run.path), signals)
