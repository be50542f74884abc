"""Folders may come from anywhere: what is damaged is skipped and named, and no name does harm."""

import csv
import io
import json

import pytest
from folders import make_run

from aelab.comparison.compare import compare
from aelab.comparison.csv_sheets import csv_text, groups_sheet, metrics_sheet, runs_sheet
from aelab.comparison.latex import escaped, latex
from aelab.comparison.run_summaries import read_run
from aelab.comparison.tables import page
from aelab.core.errors import ConfigurationError, RunError
from aelab.core.text import printable, without_secrets

NAMES = (
    "=HYPERLINK(\"http://x\",\"y\")", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "a\r\nb", "[bold red]x[/]",
    "<script>alert(1)</script>", "../../etc/passwd", "a\"b'c", "\\input{/etc/passwd}", "100% & $x_1^2$ #{}~",
    "\x1b[31mred", "turned \u202e round", "a,b;c", "* x", "[t]",
)  # fmt: skip


NODES = "data: {}\nmodel: {}\ntraining: {}\nstart: {}\n"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    for index, name in enumerate(NAMES):
        for seed in (0, 1):
            make_run(root / f"{index}" / f"{seed}", seed, elbo=-index - seed / 9, settings={"name": name})
        make_run(root / f"{index}" / "2", 2, settings={"name": name}, status="failed", error=name)
    return compare([str(root)])


def test_no_cell_of_a_csv_is_a_formula_or_spans_lines(hostile):
    for sheet in (metrics_sheet, groups_sheet, runs_sheet):
        text = csv_text(sheet(hostile))
        rows = list(csv.reader(io.StringIO(text)))
        assert len(rows) == len(text.splitlines())
        assert len({len(row) for row in rows}) == 1
        for cell in (cell for row in rows for cell in row):
            assert cell.isprintable()
            assert not cell.startswith(("=", "+", "@", "\t", "\r"))
            if cell.startswith("-"):
                float(cell)


def test_latex_sees_no_command_of_a_name(hostile):
    rows = latex(hostile, 0.05).split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert len(rows) == len(hostile.groups)
    for row in rows:
        assert row.endswith(r"\\")
        assert row.count(" & ") >= 1 + len(hostile.metrics)
        assert row[0] not in "*["
    assert "\\input" not in latex(hostile, 0.05)
    assert escaped(r"\a_b%") == r"\textbackslash{}a\_b\%"


def test_the_terminal_shows_names_as_they_are_and_obeys_none(hostile):
    text = page(hostile, 0.05)
    assert "[bold red]x[/]" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(len, (line for line in text.splitlines() if line.startswith(" ")))) <= 120


def test_groups_keep_distinct_names(hostile):
    assert len({group.name for group in hostile.groups}) == len(NAMES)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("record.json", "{", "damaged"),
        ("record.json", "[]", "no JSON object"),
        ("record.json", '{"status": "excellent"}', "no record of a run"),
        ("record.json", None, "missing"),
        ("config.yaml", None, "missing"),
        ("config.yaml", "a: [", "damaged"),
        ("config.yaml", "!!python/object/apply:os.system [echo harm]", "damaged"),
        ("config.yaml", "name: x", "no configuration"),
        (
            "config.yaml",
            "name: x\nseed: [1]\ndata: {}\nmodel: {}\ntraining: {}\nstart: {}\n",
            "no whole number",
        ),
        ("config.yaml", "name: x\nseed: 1\ndata: {}\ntraining: {}\nstart: {}\nmodel: &a {b: *a}\n", ""),
        ("evaluation.json", "{", "damaged"),
    ],
)
def test_a_damaged_folder_is_skipped_and_named(tmp_path, file, content, reason):
    make_run(tmp_path / "sound")
    path = make_run(tmp_path / "unsound", seed=1)
    (path / file).unlink(missing_ok=True)
    if content is not None:
        (path / file).write_text(content)
    comparison = compare([str(tmp_path)])
    assert [len(group.runs) for group in comparison.groups] == [1]
    assert list(comparison.skipped) == [str(path)]
    assert reason in comparison.skipped[str(path)]
    assert str(path) in page(comparison, 0.05).replace("\n", "")


def test_a_configuration_of_many_aliases_does_not_fill_the_memory(tmp_path):
    path = make_run(tmp_path / "bomb")
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}, z: *a{n - 1}}}" for n in range(1, 20)]
    (path / "config.yaml").write_text((path / "config.yaml").read_text() + "\n".join(lines))
    make_run(tmp_path / "sound")
    assert "settings" in compare([str(tmp_path)]).skipped[str(path)]


def test_numbers_that_no_float_can_hold_are_passed_over(tmp_path):
    huge = 10**400
    for seed in (0, 1):
        path = make_run(tmp_path / f"{seed}", seed, steps=huge, metrics={"test/elbo": -1.0, "test/mse": huge})
        (path / "metrics.jsonl").write_text(json.dumps({"step": 1, "val/elbo": huge, "val/kl": 1.0}) + "\n")
        estimates = {"a": {"value": huge, "unit": ""}, "b": {"value": 1.0, "unit": ""}}
        (path / "evaluation.json").write_text(json.dumps({"quick": {"estimates": estimates}}))
    (group,) = compare([str(tmp_path)], metric=["test/elbo"]).groups
    for run in group.runs:
        assert run.values == {"test/elbo": -1.0, "quick/b": 1.0}
        assert dict(run.curves) == {"val/kl": ((1, 1.0),)}
    assert group.budget.steps == ()


def test_nothing_to_read_is_one_sentence(tmp_path):
    with pytest.raises(ConfigurationError, match="matches no run"):
        compare([str(tmp_path / "nothing*")])
    make_run(tmp_path / "a", status="failed", error="out of patience")
    with pytest.raises(ConfigurationError, match="out of patience"):
        compare([str(tmp_path)])


def test_interpolations_stay_text(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_THING", "hunter2")
    run = read_run(make_run(tmp_path / "a", settings={"extra": "${oc.env:SECRET_THING}"}))
    assert run.settings["extra"] == "${oc.env:SECRET_THING}"


def test_no_secret_is_passed_on(tmp_path):
    address = "https://user:hunter2@example.org/mlflow"
    make_run(
        tmp_path / "a", settings={"extra": {"api_key": "hunter2", "uri": address}},
        command=["train.py", f"logger.mlflow.tracking_uri={address}", "wandb_api_key=hunter2"],
    )  # fmt: skip
    make_run(tmp_path / "b", 1, status="failed", error=f"cannot reach {address} with password: hunter2")
    comparison = compare([str(tmp_path)])
    assert "hunter2" not in repr(comparison)
    assert "hunter2" not in page(comparison, 0.05)
    assert "hunter2" not in json.dumps(
        [dict(run.record) for group in comparison.groups for run in group.runs]
    )
    assert without_secrets({"tokens": 16, "monkey": "x"}) == {"tokens": 16, "monkey": "x"}


def test_only_pictures_of_the_last_epoch_are_the_runs_and_no_link_is(tmp_path):
    path = make_run(tmp_path / "a")
    (path / "pictures").mkdir()
    (path / "evaluation" / "quick").mkdir(parents=True)
    (path / "pictures" / "samples.png").write_bytes(b"1")
    (path / "pictures" / "epoch_0_samples.png").write_bytes(b"1")
    (path / "evaluation" / "quick" / "traversals.png").write_bytes(b"1")
    assert read_run(path).pictures.keys() == {"samples", "traversals"}
    (path / "pictures" / "stolen.png").symlink_to("/etc/passwd")
    with pytest.raises(RunError, match="is a link"):
        read_run(path)


def test_curves_pass_over_what_is_no_number(tmp_path):
    path = make_run(tmp_path / "a")
    lines = [
        '{"step": 1, "epoch": 0, "val/elbo": -3.5, "train/loss": "nan"}',
        "torn {",
        "[1]",
        '{"step": 2, "val/elbo": -3}',
    ]
    (path / "metrics.jsonl").write_text("\n".join(lines))
    assert dict(read_run(path).curves) == {"val/elbo": ((1, -3.5), (2, -3.0))}


def test_printable_is_one_line():
    assert printable("a\n b\x00\u202e") == r"a\n b\x00\u202e"
