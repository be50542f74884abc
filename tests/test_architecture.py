"""Imports run one way only, and the mathematics needs torch alone."""

import subprocess
import sys

import pytest

from house import FLOORS, MODULES, PICTURE, drawn, files, imports, in_circles, room, rooms, upwards

MATHEMATICS = {"core", "figures", "models", "objectives"}
FRAMEWORKS = {"pytorch_lightning", "lightning_fabric", "hydra", "omegaconf", "wandb", "torchmetrics"}
HEAVY = {"wandb", "mlflow", "sklearn", "pooch", "tensorboard", "matplotlib"}


def loaded(name):
    """The project's own modules that are imported with a module, itself included."""
    seen, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += imports(current, everywhere=False) & MODULES.keys()
    return seen


def packages(names, everywhere):
    return {found.split(".")[0] for name in names for found in imports(name, everywhere)}


def test_every_room_has_its_floor():
    assert rooms().keys() <= {name for floor in FLOORS for name in floor}


def test_imports_run_downwards_only():
    assert upwards() == []


def test_nothing_is_in_a_circle():
    """Within a room too, and by imports inside functions or for types alone."""
    assert in_circles(files()) == []
    assert in_circles(rooms()) == []


def test_a_circle_is_found():
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_the_picture_of_the_house_is_that_of_its_imports():
    assert PICTURE.read_text(encoding="utf-8") == drawn(), "python scripts/house.py --draw"


@pytest.mark.parametrize("name", [n for n in MODULES if room(n) in MATHEMATICS])
def test_the_mathematics_names_no_framework(name):
    assert not packages([name], everywhere=True) & FRAMEWORKS


def fresh(code):
    """What a new interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_the_mathematics_loads_no_framework():
    names = [name for name in MODULES if room(name) in MATHEMATICS]
    modules = fresh(f"import sys, {', '.join(names)}; print(*sys.modules)")
    assert {"aelab.models", "aelab.objectives.bounds", "torch"} <= set(modules)
    assert not {name.split(".")[0] for name in modules} & FRAMEWORKS


def test_importing_the_package_loads_nothing():
    modules = fresh("import sys, aelab; print(*sys.modules)")
    assert "aelab" in modules
    assert not {name.split(".")[0] for name in modules} & {"torch", "numpy", *FRAMEWORKS, *HEAVY}


def test_a_training_loads_heavy_packages_where_they_are_used():
    names = loaded("aelab.runs.train")
    assert {"aelab.data.module", "aelab.loggers.base", "aelab.training.base"} <= names
    assert not packages(names, everywhere=False) & HEAVY


def test_a_comparison_loads_neither_torch_nor_a_tracker():
    names = loaded("aelab.cli.compare")
    assert not packages(names, everywhere=False) & ({"torch", "pytorch_lightning"} | HEAVY)


def test_what_a_configuration_names_is_made_in_one_place():
    assert [name for name in MODULES if "hydra.utils" in imports(name)] == []


def test_the_configuration_is_composed_before_torch_is_loaded():
    assert not packages(loaded("aelab.cli.command"), everywhere=False) & {"torch", "pytorch_lightning"}


def test_the_commands_are_known_before_hydra_is_loaded():
    modules = fresh("import sys, aelab.cli.console; print(*sys.modules)")
    assert "aelab.cli.console" in modules
    assert not {name.split(".")[0] for name in modules} & {"torch", "yaml", "rich", *FRAMEWORKS, *HEAVY}
