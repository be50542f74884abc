"""The house as its imports are: `python scripts/house.py` prints what a newcomer has to hold in the head,
`python scripts/house.py --draw` draws docs/images/house.svg.

Imports inside functions and those for types alone count as all others do.
"""

import ast
import statistics
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PICTURE = ROOT / "docs" / "images" / "house.svg"
DOORS = {"aelab", "aelab.__main__"}  # from outside: `aelab.load` and `python -m aelab`

FLOORS = (
    ("core",),
    ("config", "figures", "loggers", "cluster"),
    ("models",),
    ("data", "objectives", "metrics", "jobs"),
    ("training",),
    ("runs",),
    ("evaluation", "comparison", "sweeps"),
    ("reproduction",),
    ("cli",),
)
"""The rooms from the ground up: each sees those of the floors below its own, and none beside it."""

WIDTH, BOX, STEP, MARGIN = 1000, 44, 96, 20  # of the picture, in its units


def module(file: Path) -> str:
    """The dotted name of a file below src/."""
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(file): file for file in sorted((SOURCE / "aelab").rglob("*.py"))}


def room(name: str) -> str:
    """The room of a module: aelab.data.loader -> data."""
    return name.split(".")[1] if "." in name else ""


def statements(tree: ast.AST, everywhere: bool) -> Iterator[ast.AST]:
    """All statements, or those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if everywhere or not (checking or later):
            yield node
            yield from statements(node, everywhere)


@cache
def parsed(name: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@cache
def imports(name: str, everywhere: bool = True) -> frozenset[str]:
    """The modules that a module imports, in full; ValueError for a relative import."""
    found: set[str] = set()
    for node in statements(parsed(name), everywhere):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{name} has a relative import")
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & MODULES.keys() or {node.module}
    return frozenset(found)


def in_circles(graph: Mapping[str, set[str]]) -> list[str]:
    """The nodes of a graph that are left when those that need nothing are taken away, again and again."""
    waiting = {name: set(needs) & graph.keys() - {name} for name, needs in graph.items()}
    while leaves := [name for name, needs in waiting.items() if not needs]:
        for name in leaves:
            del waiting[name]
        for needs in waiting.values():
            needs.difference_update(leaves)
    return sorted(waiting)


def files() -> dict[str, set[str]]:
    """Which of the project's modules each of them imports."""
    return {name: set(imports(name)) & MODULES.keys() - {name} for name in MODULES}


def rooms() -> dict[str, set[str]]:
    """Which rooms each room sees."""
    found: dict[str, set[str]] = {room(name): set() for name in MODULES if name not in DOORS}
    for name, needs in files().items():
        if name not in DOORS:
            found[room(name)] |= {room(need) for need in needs if need not in DOORS} - {room(name)}
    return found


def upwards() -> list[tuple[str, str]]:
    """Imports that do not run downwards: (module, what it imports)."""
    floor = {name: height for height, names in enumerate(FLOORS) for name in names}
    pairs = ((name, need) for name, needs in files().items() for need in needs if not {name, need} & DOORS)
    return [(a, b) for a, b in pairs if room(a) != room(b) and floor[room(a)] <= floor[room(b)]]


def functions() -> list[int]:
    """How many lines each function of the project has, from its first statement on, without its docstring."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (node for name in MODULES for node in ast.walk(parsed(name)) if isinstance(node, kinds))
    return sorted(_lines(node) for node in nodes)


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def figures() -> dict[str, str]:
    """What a newcomer has to hold in the head, in words."""
    lengths = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in MODULES.items()}
    sizes, longest = functions(), max(lengths, key=lambda name: lengths[name])
    plugins = sum(len(f.read_text().splitlines()) for f in (SOURCE / "hydra_plugins").glob("*.py"))
    return {
        "rooms": str(len(rooms())),
        "files in circles": str(len(in_circles(files()))),
        "rooms in circles": str(len(in_circles(rooms()))),
        "imports that run upwards or sideways": str(len(upwards())),
        "files": str(len(MODULES)),
        "files in runs/": str(len(list((SOURCE / "aelab" / "runs").glob("*.py")))),
        "lines of src": f"{sum(lengths.values()) + plugins:,}",
        "lines of a function, median": f"{statistics.median(sizes):g}",
        "lines of a function, nine in ten": str(sizes[int(0.9 * len(sizes))]),
        "longest file": f"{lengths[longest]} ({longest})",
    }


def reduced(graph: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows of a graph without circles that do not follow from others."""

    def reach(start: str) -> set[str]:
        return graph[start].union(*(reach(need) for need in graph[start]))

    return sorted(
        (a, b) for a in graph for b in graph[a] if not any(b in reach(other) for other in graph[a] - {b})
    )


def drawn() -> str:
    """The rooms, floor above floor, each with the first sentence of its docstring, as SVG."""
    graph = rooms()
    floors = [[name for name in names if name in graph] for names in FLOORS]
    height = 2 * MARGIN + STEP * (len(floors) - 1) + BOX
    places = {}
    for level, names in enumerate(floors):
        wide = (WIDTH - 2 * MARGIN) / len(names)
        for k, name in enumerate(names):
            across = min(wide - MARGIN, WIDTH / 2)
            places[name] = (
                MARGIN + wide * k + (wide - across) / 2, height - MARGIN - BOX - STEP * level, across,
            )  # fmt: skip
    arrows = (_arrow(places[a], places[b]) for a, b in reduced(graph))
    boxes = (_box(name, *place) for name, place in places.items())
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#888"/></marker></defs>'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    )
    return "\n".join([head, *arrows, *boxes, "</svg>", ""])


def _arrow(a: tuple[float, float, float], b: tuple[float, float, float]) -> str:
    (x, y), (to_x, to_y) = (a[0] + a[2] / 2, a[1] + BOX), (b[0] + b[2] / 2, b[1])
    return (
        f'<path d="M{x:.0f} {y:.0f} C{x:.0f} {y + 30:.0f} {to_x:.0f} {to_y - 30:.0f} {to_x:.0f} {to_y:.0f}" '
        'fill="none" stroke="#888" marker-end="url(#tip)"/>'
    )


def _box(name: str, x: float, y: float, width: float) -> str:
    sentence = (ast.get_docstring(parsed(f"aelab.{name}")) or "").partition("\n")[0].rstrip(".")
    lines = _wrapped(sentence, int(width / 5.4))
    words = "".join(
        f'<text x="{x + width / 2:.0f}" y="{y + 27 + 11 * i:.0f}" font-size="10" fill="#555" '
        f'text-anchor="middle">{escape(line)}</text>'
        for i, line in enumerate(lines[:2])
    )
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX}" rx="6" fill="#eef3fb" '
        f'stroke="#4a6fa5"/><text x="{x + width / 2:.0f}" y="{y + 15:.0f}" font-size="13" font-weight="bold" '
        f'text-anchor="middle">{name}/</text>{words}'
    )


def _wrapped(sentence: str, width: int) -> list[str]:
    words, lines = sentence.split(), [""]
    for word, _ in pairwise([*words, ""]):
        if len(lines[-1]) + len(word) + 1 > width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


if __name__ == "__main__":
    if sys.argv[1:] == ["--draw"]:
        PICTURE.write_text(drawn(), encoding="utf-8")
    else:
        for what, value in figures().items():
            print(f"{what:<40}{value}")
