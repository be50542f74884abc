"""Other seeds of the same configuration: which runs are taken for them, and what they tell."""

import csv
import shutil

import numpy as np
import pytest
from omegaconf import OmegaConf
from small import only

from aelab.core.errors import AelabError, ConfigurationError, RunError
from aelab.runs.find import peers_of, run_of
from aelab.runs.folder import Run, RunFolder, Status
from aelab.training.checkpoints import resume_points

ALIGNED = ("representation/cka_between_seeds", "disentanglement/udr")
SEEDS = only("likelihood", "representation", "disentanglement", "stability")


@pytest.fixture(scope="module")
def seeds(train_once):
    """Three runs that differ in their seed, and in what decides nothing of what is learned."""
    same = ["trainer.limit_train_batches=1.0"]
    elsewhere = ["pictures.columns=4", "resume_points.keep=1"]
    return [train_once(*same), train_once("seed=1", *same), train_once("seed=2", *same, *elsewhere)]


@pytest.fixture
def beside(seeds, tmp_path):
    """Copies of them in a folder of their own, to be damaged."""

    def copy(*chosen):
        paths = [tmp_path / "vae_digits" / f"{place}" for place in range(len(chosen))]
        return [
            RunFolder.open(shutil.copytree(run.path, path)) for run, path in zip(chosen, paths, strict=True)
        ]

    return copy


def names(run, given=None):
    return {peer.folder.path.name for peer in peers_of(Run.open(run.path), given)}


def test_peers_stand_beside_the_run_and_differ_in_their_seed_alone(seeds, train_once):
    train_once("trainer.limit_train_batches=1.0", "seed=3", "latent=3")
    train_once("trainer.limit_train_batches=1.0", "seed=4", "optimizer.lr=0.01")
    train_once("trainer.limit_train_batches=1.0", "seed=5", "data.split_seed=1")
    first, second, third = (run.path.name for run in seeds)
    assert [names(run) for run in seeds] == [{second, third}, {first, third}, {first, second}]


def test_of_each_seed_the_newest_finished_run_is_taken(beside, seeds):
    run, old, new = beside(seeds[0], seeds[1], seeds[1])
    assert names(run) == {new.path.name}
    new.update(status=Status.FAILED)
    assert names(run) == {old.path.name}
    old.record.write_text("{")
    assert names(run) == set()


def test_the_same_seed_is_no_peer(beside, seeds):
    run, again, _ = beside(seeds[0], seeds[0], seeds[1])
    assert again.path.name not in names(run)
    with pytest.raises(ConfigurationError, match="no peer"):
        names(run, [again.path])


def test_other_data_under_the_same_name_make_no_peer(train, tmp_path):
    runs = []
    for seed in (0, 1, 2):
        images = np.random.default_rng(seed // 2).integers(0, 256, (2, 200, 8, 8), np.uint8)
        (tmp_path / f"{seed}").mkdir()
        np.savez(tmp_path / f"{seed}" / "images.npz", x_train=images[0], x_test=images[1])
        root = f"data.root={tmp_path}/{seed}/images.npz"
        runs.append(train("data=npz", root, "data.shape=[1,8,8]", f"seed={seed}"))
    assert names(runs[0]) == {runs[1].path.name}


def test_another_configuration_is_refused_where_it_is_given(seeds, train, evaluate):
    other = train("seed=1", "latent=3")
    with pytest.raises(ConfigurationError, match=r"no peer.*configuration and data must be the same"):
        evaluate(seeds[0], f"peers=[{other.path}]")
    assert not seeds[0].evaluations.exists()


def test_seeds_are_compared_in_numbers_and_in_a_table(beside, seeds, evaluate):
    one, two, three = beside(*seeds)
    first = evaluate(one, *SEEDS)
    assert set(ALIGNED) <= first["estimates"].keys()
    assert first["left_out"]["stability/over_seeds"] == "no other seed was evaluated by this suite yet"
    second = evaluate(two, *SEEDS)
    third = evaluate(three, *SEEDS)
    with (three.evaluation("quick") / "over_seeds.csv").open() as file:
        table = {row["estimate"]: row for row in csv.DictReader(file)}
    each = [found["estimates"]["likelihood/elbo"]["value"] for found in (first, second, third)]
    assert table["likelihood/elbo"]["seeds"] == "3"
    assert float(table["likelihood/elbo"]["mean"]) == pytest.approx(sum(each) / 3, rel=1e-5)
    spread = (sum((value - sum(each) / 3) ** 2 for value in each) / 2) ** 0.5
    assert float(table["likelihood/elbo"]["standard_deviation"]) == pytest.approx(spread, rel=1e-3)
    assert len(set(each)) == 3
    for name in ALIGNED:
        assert 0 < third["estimates"][name]["value"] < 1


def test_numbers_that_were_measured_otherwise_are_no_spread_over_seeds(beside, seeds, evaluate):
    one, two, three = beside(*seeds)
    evaluate(one, *SEEDS)
    evaluate(two, *SEEDS, "suite.parts.likelihood.samples=30")
    third = evaluate(three, *SEEDS)
    assert {row["seeds"] for row in over_seeds(three) if row["estimate"] == "likelihood/nll"} == {"2"}
    one.update_evaluations(quick={**one.suite("quick"), "parts": None})
    third = evaluate(three, *SEEDS)
    assert third["left_out"]["stability/over_seeds"] == "no other seed was evaluated by this suite yet"


def test_distances_in_another_feature_space_are_no_spread_over_seeds(beside, seeds, evaluate):
    parts = only("generation", "reconstruction", "stability")
    one, two = beside(*seeds[:2])
    first = evaluate(one, *parts)
    evaluate(two, *parts)
    assert "generation/frechet" in {row["estimate"] for row in over_seeds(two)}
    other = {"generation": {"name": "classifier/digits@00000000"}}
    one.update_evaluations(quick={**first, "feature_space": other})
    again = evaluate(two, *parts)
    assert again["left_out"]["stability/over_seeds"] == "no other seed was evaluated by this suite yet"


@pytest.mark.parametrize(
    "odd",
    [
        3,
        {"estimates": 3},
        {"estimates": [1]},
        {"estimates": {"likelihood/elbo": 3}},
        {"estimates": {"likelihood/elbo": {"value": "x"}}},
        {"estimates": {"likelihood/elbo": {"value": [1]}}},
    ],
)
def test_an_odd_evaluation_nearby_is_no_hindrance(beside, seeds, evaluate, capsys, odd):
    run, other = beside(*seeds[:2])
    whole = only("stability", "likelihood")
    made = evaluate(other, *whole)
    other.update_evaluations(quick={**made, **odd} if isinstance(odd, dict) else odd)
    found = evaluate(run, *whole)
    assert "left aside" in capsys.readouterr().err
    assert "peers=" in found["left_out"]["stability/over_seeds"]
    with pytest.raises(RunError, match="evaluate the run again"):
        other.estimates("quick")


def test_numbers_that_were_not_finite_are_left_out_of_the_estimates(beside, seeds):
    (run,) = beside(seeds[0])
    assert run.estimates("quick") == {}
    text = (
        '{"quick": {"estimates": {"a": {"value": 1}, "b": {"value": null}, "c": {}, "d": {"value": 1e999}, '
    )
    run.evaluations.write_text(text + f'"e": {{"value": 1{"0" * 400}}}, "f": {{"value": NaN}}}}}}}}')
    assert run.estimates("quick") == {"a": 1.0}


@pytest.mark.parametrize("node", [3, [1], None])
def test_an_odd_configuration_nearby_is_no_hindrance(beside, seeds, evaluate, node):
    run, other = beside(*seeds[:2])
    config = OmegaConf.load(other.config)
    config.data = node
    OmegaConf.save(config, other.config)
    assert names(run) == set()


def over_seeds(run):
    with (run.evaluation("quick") / "over_seeds.csv").open() as file:
        return list(csv.DictReader(file))


def test_none_are_looked_for_where_an_empty_list_is_given(beside, seeds, evaluate):
    run, _ = beside(seeds[0], seeds[1])
    found = evaluate(run, "peers=[]", *SEEDS)
    assert all("peers=" in found["left_out"][name] for name in (*ALIGNED, "stability/over_seeds"))


def test_a_damaged_run_nearby_is_no_peer_and_no_hindrance(beside, seeds, evaluate, capsys):
    run, damaged, whole = beside(*seeds)
    for path in (damaged.checkpoints / "best.ckpt", *resume_points(damaged.checkpoints)):
        path.write_bytes(b"nothing")
    whole.evaluations.write_text("{")
    found = evaluate(run, *SEEDS)
    assert "left aside" in capsys.readouterr().err
    assert all("peers=" in found["left_out"][name] for name in ALIGNED)
    with pytest.raises(AelabError, match="no undamaged checkpoint"):
        evaluate(run, f"peers=[{damaged.path}]", *SEEDS)


def test_one_run_is_named_by_what_holds_it_alone(tmp_path):
    for name in ("vae_digits/2026-01-02", "vae_digits/2026-01-01", "ae_digits/2026-01-01"):
        (tmp_path / name).mkdir(parents=True)
        RunFolder(tmp_path / name).update(status="finished")
    assert run_of(tmp_path / "ae_digits") == run_of(f"{tmp_path}/ae*/*") == tmp_path / "ae_digits/2026-01-01"
    with pytest.raises(ConfigurationError, match=r"holds 2 runs: name one, as run=.*2026-01-02, the newest"):
        run_of(str(tmp_path / "vae_digits"))
