"""Imports run one way only, and the mathematics needs torch alone."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FILES = sorted((SOURCE / "aelab").rglob("*.py"))

FLOORS = (
    {"core"},
    {"config", "figures", "loggers", "cluster"},
    {"models"},
    {"data", "objectives", "metrics", "jobs"},
    {"training"},
    {"runs"},
    {"evaluation", "comparison", "sweeps"},
    {"reproduction"},
    {"cli"},
)
"""The rooms from the ground up: each sees those of the floors below its own, and none beside it."""
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
TOP = {"aelab", "aelab.__main__"}  # `aelab.load` and `python -m aelab` open the house from outside
MATHEMATICS = {"core", "figures", "models", "objectives"}
FRAMEWORKS = {"pytorch_lightning", "lightning_fabric", "hydra", "omegaconf", "wandb", "torchmetrics"}
HEAVY = {"wandb", "mlflow", "sklearn", "pooch", "tensorboard", "matplotlib"}


def module(file):
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(file): file for file in FILES}


def part(name):
    """The part of the house that a module belongs to: aelab.data.loader -> data."""
    return name.split(".")[1] if "." in name else ""


def statements(tree, everywhere):
    """All statements, or those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if everywhere or not (
            checking or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ):
            yield node
            yield from statements(node, everywhere)


@cache
def imports(name, everywhere=True):
    """The modules that a module imports, in full."""
    found = set()
    for node in statements(ast.parse(MODULES[name].read_text()), everywhere):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} has a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & MODULES.keys() or {node.module}
    return found


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
    assert {part(name) for name in MODULES if name not in TOP} <= FLOOR.keys()


@pytest.mark.parametrize("name", [name for name in MODULES if name not in TOP])
def test_imports_run_downwards_only(name):
    seen = {part(found) for found in imports(name) if found.startswith("aelab.")} - {part(name)}
    assert {room for room in seen if FLOOR[room] >= FLOOR[part(name)]} == set()


def test_no_file_is_in_a_circle():
    """Within a room too, and by imports inside functions."""
    waiting = {name: imports(name) & MODULES.keys() - {name} for name in MODULES}
    while leaves := [name for name, needs in waiting.items() if not needs]:
        for name in leaves:
            del waiting[name]
        for needs in waiting.values():
            needs.difference_update(leaves)
    assert sorted(waiting) == []


@pytest.mark.parametrize("name", [n for n in MODULES if part(n) in MATHEMATICS])
def test_the_mathematics_names_no_framework(name):
    assert not packages([name], everywhere=True) & FRAMEWORKS


def fresh(code):
    """What a new interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_the_mathematics_loads_no_framework():
    names = [name for name in MODULES if part(name) in MATHEMATICS]
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


def test_the_configuration_is_composed_before_torch_is_loaded():
    assert not packages(loaded("aelab.cli.command"), everywhere=False) & {"torch", "pytorch_lightning"}


def test_the_commands_are_known_before_hydra_is_loaded():
    modules = fresh("import sys, aelab.cli.console; print(*sys.modules)")
    assert not {name.split(".")[0] for name in modules} & {
        "torch",
        "numpy",
        "yaml",
        "rich",
        *FRAMEWORKS,
        *HEAVY,
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_file_can_be_read_in_one_sitting(name):
    assert len(MODULES[name].read_text().splitlines()) <= 300
