"""Counts, from the command line to a trained model."""

import numpy as np
import pytest

import aelab
from aelab.config.compose import compose
from aelab.core.errors import AelabError
from aelab.runs.build import build

FEW = ["data.source.count=600", "data.source.test=100"]


def test_a_count_vae_is_trained_loaded_and_sampled(train):
    run = train("variant=count_vae", *FEW)
    assert {"test/elbo", "test/rmse", "test/bits_per_dim"} <= set(run.read()["metrics"])
    model = aelab.load(run.path)
    x = np.arange(180).reshape(3, 60)
    assert model.reconstruct(x).shape == (3, 60)
    assert (model.sample(4) >= 0).all()
    assert model.log_prob(x, samples=5).isfinite().all()


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_counts_of_ones_own(train, tmp_path, likelihood):
    x = np.random.RandomState(0).poisson(3, (80, 6))
    np.savez(tmp_path / "mine.npz", x_train=x[:60], x_test=x[60:])
    train("data=counts", f"data.root={tmp_path / 'mine.npz'}", f"likelihood={likelihood}")
    np.savez(tmp_path / "mine.npz", x_train=x[:60] + 0.5, x_test=x[60:])
    with pytest.raises(AelabError, match=r"row 0, column 0 holds .*whole numbers from 0"):
        train("data=counts", f"data.root={tmp_path / 'mine.npz'}")


@pytest.mark.parametrize("data", ["digits", "wine"])
def test_what_is_no_count_is_refused(data):
    with pytest.raises(AelabError, match="values=counts"):
        build(compose([f"data={data}", "likelihood=negative_binomial", "logger=[]"]))
