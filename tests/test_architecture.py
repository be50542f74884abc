"""Imports run one way only, and the mathematics needs torch alone."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FILES = sorted((SOURCE / "aelab").rglob("*.py"))

GROUND = {"records", "seeds", "errors"}
PARTS = {"networks", "posteriors", "priors", "likelihoods"}
MATHEMATICS = {"distributions", "evidence", *PARTS, "models", "structures", "schedules", "objectives"}
SEES = {
    "": {"trained"},
    "locations": set(),
    "numbers": set(),
    "records": set(),
    "seeds": set(),
    "errors": set(),
    "schedules": {"errors"},
    "figures": set(),
    "images": {"errors", "data"},
    "conditions": GROUND | {"models", "networks"},
    "matmul": set(),
    "charts": set(),
    "panels": {"charts"},
    "distributions": GROUND,
    "evidence": GROUND | {"distributions"},
    **dict.fromkeys(PARTS, GROUND | {"distributions", "schedules"} | PARTS),
    "models": GROUND | {"distributions"} | PARTS,
    "structures": GROUND | {"distributions", "models"} | PARTS,
    "objectives": GROUND | MATHEMATICS,
    "metrics": GROUND | {"distributions", "evidence", "models"},
    "training": GROUND | MATHEMATICS | {"metrics"},
    "data": GROUND | {"locations"},
    "callbacks": GROUND | {"models", "networks", "metrics", "figures", "training"},
    "composition": {"errors", "locations"},
    "journal": {"errors"},
    "trackers": {"errors"},
}
OUTERMOST = {"runs", "evaluation", "comparison", "explorer", "reproduction", "sweeps", "trained"}
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


def test_every_part_has_its_place():
    assert {part(name) for name in MODULES} - OUTERMOST == SEES.keys()


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) not in OUTERMOST])
def test_imports_run_one_way_only(name):
    seen = {part(found) for found in imports(name) if found.split(".")[0] == "aelab"}
    assert seen <= SEES[part(name)] | {part(name)}


@pytest.mark.parametrize("name", [n for n in MODULES if part(n) in {*MATHEMATICS, *GROUND, "figures"}])
def test_the_mathematics_names_no_framework(name):
    assert not packages([name], everywhere=True) & FRAMEWORKS


def fresh(code):
    """What a new interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_the_mathematics_loads_no_framework():
    names = [name for name in MODULES if part(name) in {*MATHEMATICS, *GROUND, "figures"}]
    modules = fresh(f"import sys, {', '.join(names)}; print(*sys.modules)")
    assert {"aelab.models", "aelab.objectives.bounds", "torch"} <= set(modules)
    assert not {name.split(".")[0] for name in modules} & FRAMEWORKS


def test_importing_the_package_loads_nothing():
    modules = fresh("import sys, aelab; print(*sys.modules)")
    assert "aelab" in modules
    assert not {name.split(".")[0] for name in modules} & {"torch", "numpy", *FRAMEWORKS, *HEAVY}


def test_a_training_loads_heavy_packages_where_they_are_used():
    names = loaded("aelab.runs.train")
    assert {"aelab.data.module", "aelab.trackers", "aelab.training.base"} <= names
    assert not packages(names, everywhere=False) & HEAVY


def test_a_comparison_loads_neither_torch_nor_a_tracker():
    names = loaded("aelab.runs.compare")
    assert not packages(names, everywhere=False) & ({"torch", "pytorch_lightning"} | HEAVY)


def test_the_configuration_is_composed_before_torch_is_loaded():
    assert not packages(loaded("aelab.composition"), everywhere=False) & {"torch", "pytorch_lightning"}


@pytest.mark.parametrize("name", MODULES)
def test_a_file_can_be_read_in_one_sitting(name):
    assert len(MODULES[name].read_text().splitlines()) <= 300
