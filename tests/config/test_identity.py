"""What makes two configurations the same, and what makes them the same but for their seed."""

import pytest
from omegaconf import OmegaConf

from aelab.config.compose import compose
from aelab.config.identity import fingerprint, without_seed


def same(*overrides):
    """Whether it is the same training, and the same but for its seed, as without the overrides."""
    one, other = compose(), compose(overrides)
    return fingerprint(one) == fingerprint(other), without_seed(one) == without_seed(other)


@pytest.mark.parametrize(
    "override",
    [
        "outputs=elsewhere",
        "tags=[a]",
        "logger=[]",
        "logger=[csv]",
        "pictures.columns=4",
        "pictures.every_n_epochs=3",
    ],
)
def test_where_files_and_words_go_decides_nothing(override):
    assert same(override) == (True, True)


@pytest.mark.parametrize(
    "override",
    ["seed=1", "threads=3", "resume_points.every_batches=2", "+data.root=/elsewhere"],
)
def test_what_decides_bits_at_most_is_no_other_question(override):
    assert same(override) == (False, True)


@pytest.mark.parametrize(
    "override",
    [
        "latent=3", "optimizer.lr=0.1", "likelihood=gaussian", "data.split_seed=1", "data.batch_size=7",
        "data.folds=3", "trainer.max_epochs=1", "trainer.precision=bf16-mixed", "monitor.metric=val/mse",
        "variant=beta_vae", "name=other", "training.compile=networks",
    ],
)  # fmt: skip
def test_all_else_decides_what_is_learned(override):
    assert same(override) == (False, False)


def test_the_order_of_options_decides_nothing():
    config = compose()
    turned = OmegaConf.create({key: config[key] for key in reversed(list(config))})
    assert list(turned) != list(config)
    assert fingerprint(turned) == fingerprint(config)


def test_plain_containers_are_compared_alike():
    config = compose(["seed=4"])
    assert without_seed(OmegaConf.to_container(config)) == without_seed(config)
