"""Groups are configurations minus the seed, and are called by what tells them apart."""

import pytest
from folders import make_run

from aelab.comparison.compare import compare
from aelab.comparison.csv_sheets import runs_sheet
from aelab.core.errors import ConfigurationError, DataError


def latent(size):
    return {"latent": size, "model": {"latent": size}}


def grid(root, name="vae_digits"):
    for size in (8, 16):
        for seed in (0, 1, 2):
            make_run(root / f"{name}_{size}" / f"{seed}", seed, settings={**latent(size), "name": name})


def names(comparison):
    return {group.name: len(group.runs) for group in comparison.groups}


def test_groups_differ_in_more_than_seed_place_and_trackers(tmp_path):
    for seed, elsewhere in enumerate(
        ({"outputs": "/a"}, {"logger": {"wandb": {"mode": "auto"}}}, {"threads": 2})
    ):
        make_run(tmp_path / f"{seed}", seed, settings={**elsewhere, "training": {"seed": seed}})
    assert names(compare([str(tmp_path)])) == {"vae_digits": 3}


def test_groups_of_one_name_are_called_by_the_shortest_key(tmp_path):
    grid(tmp_path)
    comparison = compare([str(tmp_path)])
    assert names(comparison) == {"latent=8": 3, "latent=16": 3}
    assert set(comparison.groups[0].differing) == {"latent", "model.latent"}


def test_the_runs_own_names_come_first_and_keys_only_where_needed(tmp_path):
    grid(tmp_path)
    make_run(tmp_path / "other", settings={"name": "ae_digits"})
    assert names(compare([str(tmp_path)])).keys() == {
        "vae_digits, latent=8", "vae_digits, latent=16", "ae_digits"
    }  # fmt: skip


def test_several_keys_where_one_does_not_tell_apart(tmp_path):
    for size in (8, 16):
        for rate in (0.001, 0.01):
            make_run(tmp_path / f"{size}_{rate}", settings={**latent(size), "optimizer": {"lr": rate}})
    assert names(compare([str(tmp_path)])).keys() == {
        f"latent={size}, lr={rate}" for size in (8, 16) for rate in (0.001, 0.01)
    }


def test_grouping_by_a_key_pools_the_rest_and_says_so(tmp_path):
    for size in (8, 16):
        for rate in (0.001, 0.01):
            for seed in (0, 1):
                made = {**latent(size), "optimizer": {"lr": rate}}
                make_run(tmp_path / f"{size}_{rate}_{seed}", seed, elbo=-size * rate, settings=made)
    comparison = compare([str(tmp_path)], by=["optimizer.lr"])
    assert names(comparison) == {"lr=0.001": 4, "lr=0.01": 4}
    assert any("lr=0.01" in flag and "pools" in flag and "latent" in flag for flag in comparison.flags)
    # One value for each seed: the mean over what is pooled.
    assert comparison.groups[0].summaries["test/elbo"].values == pytest.approx([-0.012, -0.012])


def test_a_key_is_as_long_as_tells_it_from_all_others(tmp_path):
    for name in ("digits", "mnist"):
        terms = {"kl": {"weight": len(name)}, "mmd": {"weight": 1}}
        made = {"data": {"name": name}, "objective": {"terms": terms}, "model": {"prior": {"_target_": name}}}
        make_run(tmp_path / name, settings=made)

    def found(*by):
        return {group.name for group in compare([str(tmp_path)], by=by, different_data=True).groups}

    assert found("data.name") == {"data.name=digits", "data.name=mnist"}
    assert found("objective.terms.kl.weight") == {"kl.weight=6", "kl.weight=5"}
    assert found("model.prior") == {"prior=digits", "prior=mnist"}
    assert found("model.latent") == {"model.latent=16"}  # there is a latent at the root too


def test_folds_repeat_a_configuration_as_seeds_do(tmp_path):
    for size in (8, 16):
        for fold in range(3):
            for seed in (0, 1):
                made = {**latent(size), "data": {"folds": 3, "fold": fold}}
                make_run(
                    tmp_path / f"{size}_{fold}_{seed}", seed, elbo=-size - fold / 10 - seed, settings=made
                )
    comparison = compare([str(tmp_path)], by=["latent"])
    assert names(comparison) == names(compare([str(tmp_path)])) == {"latent=8": 6, "latent=16": 6}
    found = comparison.groups[0].summaries["test/elbo"]
    assert found.values == pytest.approx([-8.0, -8.1, -8.2, -9.0, -9.1, -9.2])
    assert not any("pools" in flag or "again" in flag for flag in comparison.flags)
    head, *each = runs_sheet(comparison)
    assert {(row[head.index("seed")], row[head.index("fold")]) for row in each} == {
        (seed, fold) for seed in (0, 1) for fold in range(3)
    }
    assert any("fold of data.folds" in flag and "too small" in flag for flag in comparison.flags)


def test_a_fold_that_is_no_number_is_skipped_with_its_reason(tmp_path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", settings={"data": {"folds": 3, "fold": "x"}})
    (reason,) = compare([str(tmp_path)]).skipped.values()
    assert "has the fold 'x'" in reason


def test_an_unknown_key_is_answered_with_the_nearest(tmp_path):
    grid(tmp_path)
    with pytest.raises(ConfigurationError, match=r"by=latnt .*latent"):
        compare([str(tmp_path)], by=["latnt"])


def test_of_one_seed_the_newest_run_counts(tmp_path):
    make_run(tmp_path / "2026-01-01_00-00-00", elbo=-1)
    make_run(tmp_path / "2026-01-02_00-00-00", elbo=-2)
    (group,) = compare([str(tmp_path)]).groups
    assert group.summaries["test/elbo"].values == (-2,)
    assert any("2026-01-01_00-00-00" in flag for flag in compare([str(tmp_path)]).flags)


def test_a_run_that_is_found_twice_counts_once(tmp_path):
    make_run(tmp_path / "a" / "0")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    patterns = [str(tmp_path / "a"), str(tmp_path / "*" / "0"), str(tmp_path / "b")]
    assert names(compare(patterns)) == {"vae_digits": 1}


def test_a_failed_run_is_counted_with_its_reason(tmp_path):
    make_run(tmp_path / "0", 0)
    make_run(tmp_path / "1", 1, status="failed", error="NonFiniteError: the loss is nan at step 3")
    (group,) = compare([str(tmp_path)]).groups
    assert [(run.seed, run.error) for run in group.failed] == [
        (1, "NonFiniteError: the loss is nan at step 3")
    ]
    assert group.summaries["test/elbo"].values == (-100.0,)


@pytest.mark.parametrize(
    "other",
    [
        {"data": {"checksums": {"digits": "md5:2"}}},
        {"settings": {"data": {"values": {"_target_": "aelab.data.values.Dynamic"}}}},
    ],
)
def test_different_test_data_are_refused_unless_asked_for(tmp_path, other):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", **other)
    with pytest.raises(DataError, match="different_data=true"):
        compare([str(tmp_path)])
    comparison = compare([str(tmp_path)], different_data=True)
    assert len(comparison.groups) == 2
    assert any("different data" in flag for flag in comparison.flags)


def test_a_larger_budget_another_machine_and_other_code_are_flagged(tmp_path):
    make_run(tmp_path / "a", settings=latent(8))
    more = {"steps": 20, "samples_seen": 2560, "hardware": {"cpu": "another"}, "git": {"dirty": True}}
    make_run(tmp_path / "b", settings=latent(16), **more)
    told = "\n".join(compare([str(tmp_path)]).flags)
    for words in ("steps differ: from 10", "seen differ", "FLOPs differ", "hardware differs", "code differs"):
        assert words in told
    budget = compare([str(tmp_path)], by=["latent"]).groups[0].budget
    assert budget.flops in {(6000.0 * 1280,), (6000.0 * 2560,)}


def test_older_records_without_a_budget_still_compare(tmp_path):
    path = make_run(tmp_path / "a", samples_seen=None, flops_per_image=None, seconds=None)
    (group,) = compare([str(path)]).groups
    assert (group.budget.samples_seen, group.budget.flops, group.budget.seconds) == ((), (), ())


def test_a_baseline_is_named_in_part_and_a_wrong_one_is_answered(tmp_path):
    grid(tmp_path)
    assert compare([str(tmp_path)], baseline="=16").baseline == "latent=16"
    with pytest.raises(ConfigurationError, match="latent=8"):
        compare([str(tmp_path)], baseline="latent")
    with pytest.raises(ConfigurationError, match="metric=val/x"):
        compare([str(tmp_path)], metric=["val/x"])
