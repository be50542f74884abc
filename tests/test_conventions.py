"""A file, and a function, can be held in the head."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

from house import MODULES, functions


@pytest.mark.parametrize("name", MODULES)
def test_a_file_can_be_read_in_one_sitting(name):
    assert len(MODULES[name].read_text().splitlines()) <= 300


def test_a_function_fits_in_the_head():
    lines = functions()
    assert median(lines) <= 5
    assert quantiles(lines, n=10)[-1] <= 15


def test_files_of_tests_have_names_of_their_own():
    """They are imported as modules at the top, of which there is one for each name."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's body, but for those of functions within it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield from (child, *own_nodes(child))


def held_at_yields(function: ast.FunctionDef) -> str:
    """The contexts that a generator is in where it yields; those of a context manager are its purpose."""
    if any("contextmanager" in ast.unparse(decorator) for decorator in function.decorator_list):
        return ""
    yields = ast.Yield | ast.YieldFrom
    around = [
        node
        for node in own_nodes(function)
        if isinstance(node, ast.With) and any(isinstance(inner, yields) for inner in own_nodes(node))
    ]
    return " ".join(ast.unparse(item.context_expr) for node in around for item in node.items)


def test_a_generator_yields_out_of_every_state_that_is_the_whole_process_s():
    """Who stops reading early, as a part that fails does, would leave gradients off for all that follows."""
    state = re.compile(
        r"grad\(|inference_mode|autocast|drawn_from|fork_rng|searched_first|session|Signals", re.IGNORECASE
    )
    every = [(path, node) for path in MODULES.values() for node in ast.walk(ast.parse(path.read_text()))]
    held = [(path, node) for path, node in every if isinstance(node, ast.FunctionDef)]
    assert not [path for path, node in held if state.search(held_at_yields(node))]
    wrong = ast.parse("def f():\n  with torch.no_grad():\n    for x in y:\n      yield x").body[0]
    assert state.search(held_at_yields(wrong))
