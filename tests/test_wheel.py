"""The package as it is published: a wheel, in a folder where nothing else of the project is."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = folder.glob("aelab-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_it_holds_the_code_its_configurations_and_the_licence(unpacked):
    inside = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert {"aelab/cli/console.py", "aelab/conf/train.yaml", "aelab/conf/variant/vae.yaml"} <= inside
    assert any(name.endswith("licenses/LICENSE") for name in inside)
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"aelab", "hydra_plugins"}


def test_a_run_is_trained_and_evaluated_where_nothing_else_is(unpacked, tmp_path):
    def aelab(*words):
        environment = {**os.environ, "PYTHONPATH": str(unpacked), "WANDB_MODE": "offline"}
        line = [sys.executable, "-m", "aelab", *words]
        return subprocess.run(
            line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    done = aelab("train", "trainer.max_epochs=1", "logger=csv", "threads=1")
    assert done.returncode == 0, done.stderr
    (run,) = (path.parent for path in tmp_path.rglob("record.json"))
    said = aelab("sample", f"run={run}", "count=4")
    assert said.returncode == 0, said.stderr
    code = "import aelab; print(aelab.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(unpacked) in where.stdout
