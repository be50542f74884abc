"""Members that are trained together end as each would end alone, in run folders that anybody can read."""

import pytest
import torch
from small import SMALL, only

from aelab.config.compose import compose
from aelab.config.identity import fingerprint
from aelab.config.recorded import recorded_settings
from aelab.core.errors import ConfigurationError, NonFiniteError, ResumeError
from aelab.core.signals import Signals
from aelab.loggers.jsonl import rows
from aelab.runs.folder import Run, RunFolder
from aelab.runs.train import resume
from aelab.runs.vectorised import train_members
from aelab.training.checkpoints import load

LOGGED = ["trainer.log_every_n_steps=2", "trainer.max_epochs=2"]
NO_WIDTHS = [option for option in SMALL if "widths" not in option]
CONV = [
    "network=conv",
    "data=digits",
    "network.channels=[4]",
]


@pytest.fixture
def together(tmp_path):
    def run(*overrides, base=SMALL):
        given = [*base, "trainer=vectorised", *overrides, f"outputs={tmp_path}/together"]
        with Signals() as signals:
            return train_members(compose(given), given, signals)

    return run


def assert_alike(member, alone):
    """The kept weights to 1e-5, and all that was logged."""
    mine, theirs = (load(run.checkpoints / "best.ckpt") for run in (member, alone))
    assert mine["state_dict"].keys() == theirs["state_dict"].keys()
    assert (mine["epoch"], mine["global_step"]) == (theirs["epoch"], theirs["global_step"])
    for name, value in theirs["state_dict"].items():
        torch.testing.assert_close(mine["state_dict"][name], value, atol=1e-5, rtol=1e-5)
    logged, expected = list(rows(member.metrics)), list(rows(alone.metrics))
    assert len(logged) == len(expected)
    for row, other in zip(logged, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("shared", "differ"),
    [
        ([], ["seed=0", "seed=1", "seed=2"]),
        (["variant=beta_vae"], ["objective.terms.kl.weight=0.5", "objective.terms.kl.weight=4"]),
        pytest.param(["variant=iwae", "objective.samples=3"], ["seed=0", "seed=7"], marks=pytest.mark.slow),
        pytest.param(
            ["variant=ae", "optimizer=sgd"],
            ["optimizer.lr=0.001", "optimizer.lr=0.01"],
            marks=pytest.mark.slow,
        ),
        pytest.param(["variant=cvae", "values=dynamic"], ["seed=0", "seed=1"], marks=pytest.mark.slow),
        (["variant=gumbel_vae"], ["seed=0", "seed=1"]),
        pytest.param(["variant=annealed_vae"], ["seed=0", "seed=1"], marks=pytest.mark.slow),
        pytest.param(["variant=optimal_sigma_vae"], ["seed=0", "seed=1"], marks=pytest.mark.slow),
        (["corruption=masking"], ["model.corruption.probability=0.1", "model.corruption.probability=0.6"]),
        pytest.param(
            ["lr_schedule=cosine"], ["optimizer.lr=0.001", "optimizer.lr=0.005"], marks=pytest.mark.slow
        ),
        (["training.gradient_clip_val=1"], ["seed=0", "seed=1"]),
        pytest.param(
            ["optimizer=adamw"],
            ["optimizer.weight_decay=0.0", "optimizer.weight_decay=0.5"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["data.batch_size=500", "trainer.limit_train_batches=1.0"],
            ["seed=0", "seed=1"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: ",".join(value),
)
def test_each_member_ends_as_it_would_alone(together, train, shared, differ):
    key = differ[0].split("=")[0]
    values = ",".join(option.split("=")[1] for option in differ)
    members = together(*LOGGED, *shared, f"++trainer.members.{key}=[{values}]")
    assert len(members) == len(differ)
    for member, option in zip(members, differ, strict=True):
        alone = train(*LOGGED, *shared, option)
        assert_alike(member, alone)
        assert fingerprint(recorded_settings(member.config)) == fingerprint(recorded_settings(alone.config))


def test_convolutions_too(together, train):
    members = together(*LOGGED, *CONV, "trainer.members.seed=[0,1]", base=NO_WIDTHS)
    for seed, member in enumerate(members):
        assert_alike(member, train(*LOGGED, *CONV, f"seed={seed}", base=NO_WIDTHS))


def test_every_combination_is_a_member(together):
    members = together("trainer.members.seed=[3,4]", "trainer.members.optimizer.lr=[0.001,0.002]")
    chosen = [(c.seed, c.optimizer.lr) for c in (recorded_settings(m.config) for m in members)]
    assert chosen == [(3, 0.001), (3, 0.002), (4, 0.001), (4, 0.002)]
    assert [m.read()["vectorised"] for m in members] == [{"member": i, "of": 4} for i in range(4)]
    assert [m.read()["status"] for m in members] == ["finished"] * 4


def test_a_member_is_evaluated_as_any_run_is(together, evaluate):
    member, _ = together("trainer.members.seed=[0,1]")
    assert member.read()["metrics"]["test/elbo"] == pytest.approx(
        evaluate(member, *only("likelihood"))["estimates"]["likelihood/elbo"]["value"], rel=1e-4
    )


def test_pictures_and_trackers_are_each_members_own(together):
    members = together("logger=csv", "pictures.every_n_epochs=1", "trainer.members.seed=[0,1]")
    for member in members:
        assert len(list(member.pictures.iterdir())) == 4
        assert list(member.trackers.rglob("metrics.csv"))
    assert len({m.read()["run_id"] for m in members}) == 2


def test_a_member_that_diverges_leaves_the_others_whole(together, tmp_path):
    with pytest.raises(NonFiniteError, match=r"1 of 2 members failed.*optimizer\.lr=1e\+30"):
        together(*LOGGED, "trainer.members.optimizer.lr=[0.001,1e30]")
    found = {m.read()["status"] for m in map(RunFolder.open, (tmp_path / "together").glob("*/*"))}
    assert found == {"finished", "failed"}


def test_a_member_cannot_be_resumed_but_says_so(together):
    member, _ = together("trainer.members.seed=[0,1]")
    member.update(status="killed")
    with Signals() as signals, pytest.raises(ResumeError, match="start the run anew"):
        resume(Run.open(member.path), signals)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ([], "trainer.members.seed"),
        (["trainer.members.seed=3"], "a list of numbers"),
        (["trainer.members.seed=[]"], "a list of numbers"),
        (["trainer.members.seed=[a,b]"], "a list of numbers"),
        (["trainer.members.seed=[1,1]"], "twice"),
        (["trainer.members.seed=[-1,1]"], "seed=-1"),
        (["+trainer.members.data.batch_size=[8,16]"], "data.batch_size"),
        (["+trainer.members.model.nothing=[8,16]"], "model.nothing"),
        (["+trainer.members.network.activation=[1,2]"], "network.activation"),
        (["+trainer.members.model.latent=[4,8]"], "shape"),
        (["+trainer.members.objective.samples=[1,2]"], "stacked"),
        (["trainer.members.seed=[0,1]", "callback=ema"], "callback=ema"),
        (["trainer.members.seed=[0,1]", "callback=early_stopping"], "callback=early_stopping"),
        (["trainer.members.seed=[0,1]", "training.accumulate_grad_batches=2"], "accumulate_grad_batches"),
        (["trainer.members.seed=[0,1]", "trainer.max_steps=5"], "trainer.max_steps"),
        (["trainer.members.seed=[0,1]", "trainer.max_epochs=-1"], "trainer.max_epochs"),
        (["trainer.members.seed=[0,1]", "trainer.precision=bf16-mixed"], "bf16-mixed"),
        (["trainer.members.seed=[0,1]", "variant=dreg_iwae"], "alone"),
        (["trainer.members.seed=[0,1]", "variant=hvae", "trainer.inference_mode=false"], "stacked"),
    ],
)
def test_what_cannot_be_trained_together_is_refused_before_a_folder_exists(
    together, tmp_path, overrides, named
):
    with pytest.raises(ConfigurationError, match=named):
        together(*overrides)
    assert not (tmp_path / "together").exists()


def test_members_share_their_images(together, monkeypatch):
    from aelab.data.sources.digits import Digits

    loads = []
    load_once = Digits.load
    monkeypatch.setattr(Digits, "load", lambda self: loads.append(1) or load_once(self))
    together("trainer.members.seed=[0,1,2]")
    assert len(loads) == 1
