"""Images that are preloaded are those of every run that reads the same ones."""

from multiprocessing import get_context
from types import SimpleNamespace

import pytest
import torch

from aelab.config.compose import compose
from aelab.core.errors import DataError
from aelab.data import preloaded
from aelab.runs.build import data_module, preload_data


@pytest.fixture(autouse=True)
def nothing_read(monkeypatch):
    monkeypatch.setattr(preloaded, "_preloaded", {})


def cut(*overrides):
    data = data_module(compose(overrides))
    data.setup()
    return data


def test_runs_of_other_settings_share_what_was_read_and_get_the_same_images():
    alone = cut("data.validation=100", "data.batch_size=7")
    preload_data(compose())
    first, second = cut("data.validation=100", "data.batch_size=7"), cut("seed=3")
    assert first.source is second.source
    for split in ("train", "val", "test"):
        assert first.observations(split).x.equal(alone.observations(split).x)
    assert first.checksums == alone.checksums
    assert len(second.observations("val").x) != 100


def test_nothing_is_shared_with_other_data(tmp_path):
    preload_data(compose())
    with pytest.raises(DataError):
        cut("data=mnist", f"data.root={tmp_path}")


class InParallel:
    """A source whose reading is work for several threads."""

    def prepare(self):
        pass

    def load(self):
        return work()


def work():
    return torch.rand(2000, 2000).exp().sum()


def test_a_process_forked_afterwards_has_its_threads(monkeypatch):
    torch.set_num_threads(2)
    preloaded.preload({"source": "parallel"}, SimpleNamespace(source=InParallel()))
    assert torch.get_num_threads() == 2
    forked = get_context("fork").Process(target=work)
    forked.start()
    forked.join(30)
    alive = forked.is_alive()
    forked.kill()
    assert not alive


def test_images_are_read_once(monkeypatch):
    preload_data(compose())
    monkeypatch.setattr("aelab.data.sources.digits.Digits.load", lambda self: pytest.fail("read again"))
    preload_data(compose(["seed=2"]))
    cut()
