"""What a comparison may not do in silence: count a reproduction, drop a metric, test nothing, show a key."""

import json
import re
import shutil
import subprocess

import pytest
from folders import NLL, make_run

from aelab.comparison.compare import compare
from aelab.comparison.latex import latex
from aelab.comparison.page.setting_importance import importances, swept
from aelab.comparison.tables import page
from aelab.core.text import HIDDEN, without_secrets


def evaluated(folder, nll):
    found = {"quick": {"estimates": {"likelihood/nll": {"value": nll, **NLL}}}}
    (folder / "evaluation.json").write_text(json.dumps(found))
    return folder


def runs(root, seeds=(0, 1, 2)):
    for seed in seeds:
        for name, elbo in (("a", -100.0 - seed), ("b", -101.5 - 1.2 * seed)):
            evaluated(make_run(root / name / str(seed), seed, elbo, {"name": name}), -elbo)
    return str(root)


def test_a_reproduction_is_no_run_of_its_own(tmp_path):
    root = runs(tmp_path)
    again = tmp_path / "reproductions" / "today"
    make_run(again / "a" / "9", 0, -1.0, {"name": "a"})
    (again / "reproduction.json").write_text("{}")
    found = compare([root])
    assert sum(len(group.runs) for group in found.groups) == 6
    assert "quick/likelihood/nll" in [metric.name for metric in found.metrics]
    assert len(compare([str(again)]).groups) == 1  # where it is asked for by name


def test_a_metric_that_some_runs_lack_is_named(tmp_path):
    root = runs(tmp_path)
    (tmp_path / "b" / "1" / "evaluation.json").unlink()
    found = compare([root])
    assert "quick/likelihood/nll" not in [metric.name for metric in found.metrics]
    assert [
        flag
        for flag in found.flags
        if "quick/likelihood/nll is not shown, for 1 of 6 runs lack it (b)" in flag
    ]
    asked = page(compare([root], metric=["quick/likelihood/nll"]), 0.05)
    assert " lost 1" in asked.partition("mean ±")[0]


def test_a_group_that_lost_seeds_may_lead_and_is_never_best(tmp_path):
    """Only its survivors are known, and the seed that diverged was none of the good ones."""
    for seed in range(6):
        make_run(tmp_path / "a" / str(seed), seed, -1.0 - seed / 100, {"name": "a"})
        make_run(tmp_path / "b" / str(seed), seed, -9.0 - seed**2 / 90, {"name": "b"})

    def first():
        found = compare([str(tmp_path)], metric=["test/elbo"])
        return found, found.groups[0].summaries["test/elbo"], page(found, 0.05)

    found, leader, text = first()
    assert (found.groups[0].name, leader.best, leader.lost) == ("a", True, 0)
    assert " lost 1" not in text

    make_run(tmp_path / "a" / "6", 6, float("nan"), {"name": "a"})  # finished, but measured nothing
    found, leader, text = first()
    assert (found.groups[0].name, leader.best, leader.lost, leader.rank) == ("a", False, 1, 1)
    assert " lost 1" in text
    assert "(lost 1)" in latex(found, 0.05)

    shutil.rmtree(tmp_path / "a" / "6")
    make_run(tmp_path / "a" / "6", 6, -1.0, {"name": "a"}, status="failed", error="the training diverged")
    found, leader, text = first()
    assert (leader.best, leader.lost) == (False, 1)
    assert any("a lost 1 of 7 repetitions (the training diverged)" in flag for flag in found.flags)

    make_run(tmp_path / "a" / "6b", 6, -1.06, {"name": "a"})  # the seed was trained again
    assert first()[1].best


def test_where_nothing_was_tested_that_is_said(tmp_path):
    assert "untested  test/elbo, test/mse" in page(compare([runs(tmp_path, seeds=(0,))]), 0.05)
    assert "untested  test/elbo" not in page(compare([runs(tmp_path / "more")]), 0.05)


def test_small_deviations_are_powers_of_ten_in_latex(tmp_path):
    for seed in range(3):
        make_run(tmp_path / str(seed), seed, -1 - seed * 1e-7)
    assert r"\pm 1.0 \cdot 10^{-7}" in latex(compare([str(tmp_path)], metric=["test/elbo"]), 0.05)


def test_a_table_is_named_for_people_and_compiles(tmp_path):
    for seed in range(6):
        make_run(tmp_path / "a" / str(seed), seed, -100 - seed / 9, {"name": "beta_vae_digits"})
        make_run(tmp_path / "b" / str(seed), seed, -110 + (seed % 2), {"name": "vae_digits"})
    make_run(tmp_path / "c" / "0", 0, -97.0, {"name": "iwae_digits"}, metrics={"test/mse": 1e-9})
    table = latex(compare([str(tmp_path)], baseline="vae"), 0.05)
    assert r"{ELBO $\uparrow$} & {MSE $\downarrow$}" in table
    assert r"{nats/image} & {squared error/value}" in table
    assert r"\label{tab:digits}" in table
    assert re.search(r"^\$\\beta\$ VAE & 6 & -100\.28 \\pm 0\.21 \{\$\^", table, re.MULTILINE)
    assert "S[table-format=-3.2(3)]" in table
    if shutil.which("pdflatex"):
        page = [
            r"\documentclass{article}",
            table.splitlines()[0][2:],
            r"\begin{document}",
            table,
            r"\end{document}",
        ]
        (tmp_path / "t.tex").write_text("\n".join(page))
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]


def test_settings_that_always_change_together_count_as_one():
    grid = [{"latent": n, "model.latent": n, "lr": r} for n in (2, 4, 8, 16, 32) for r in (1, 2, 3)]
    assert swept(grid) == ["latent", "lr"]
    found = importances(grid, [3 * c["latent"] ** 0.5 + c["lr"] for c in grid])
    assert [each.name for each in found.settings] == ["latent", "lr"]


@pytest.mark.parametrize(
    "value",
    [
        {"token": "abc"}, {"hf_token": "abc"}, {"pat": "abc"}, {"api_key": "abc"}, "ghp_" + "abc" * 9,
        "hf_" + "abc" * 9, "sk-" + "abc" * 9, "wandb_v1_" + "abc" * 9, "https://host/file?token=abc&x=1",
        "Authorization: Bearer abc.abc", "http://me:abc@host/",
    ],
    ids=str,
)  # fmt: skip
def test_keys_are_hidden_in_whatever_form_they_are_known(value):
    hidden = str(without_secrets(value))
    assert "abc" not in hidden
    assert HIDDEN in hidden


@pytest.mark.parametrize(
    "value", [{"token_size": 4}, {"pattern": "abc"}, "a key is needed", "lr=0.1", "sky-blue"]
)
def test_what_is_no_key_is_shown(value):
    assert without_secrets(value) == value
