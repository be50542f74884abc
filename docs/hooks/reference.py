"""Hooks of the site: the reference is made when it is built, and links into the repository lead to it."""

import ast
import functools
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import griffe
from choices import Choice, choices
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pages import COPIED, group_page, index_page, outside, page_of, room_page, root_page, shown

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "aelab"
Rooms = dict[str, dict[str, str]]


@functools.cache
def known() -> dict[str, Choice]:
    """Every choice, by its name."""
    return {choice.name: choice for choice in choices(ROOT / "conf")}


def groups() -> dict[str, list[Choice]]:
    """The choices that stand on one page together; "" are the commands."""
    found: dict[str, list[Choice]] = defaultdict(list)
    for choice in known().values():
        found[shown(choice.group)].append(choice)
    return dict(sorted(found.items()))


@functools.cache
def rooms() -> Rooms:
    """The modules of each room, with the first paragraph of their docstrings."""
    found: Rooms = defaultdict(dict)
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if len(parts) > 1 and text:
            found[parts[1]][".".join(parts)] = _first_paragraph(text)
    return found


def describe(path: str) -> tuple[str, str] | None:
    """The canonical path of one of aelab's objects and what it says of itself; None for another's.

    Raises KeyError for an object of aelab that does not exist.
    """
    if not path.startswith("aelab."):
        return None
    found = _package()[path.removeprefix("aelab.")]
    target = found.final_target if isinstance(found, griffe.Alias) else found
    return target.canonical_path, _first_paragraph(target.docstring.value if target.docstring else "")


@functools.cache
def _package() -> griffe.Object | griffe.Alias:
    return griffe.load("aelab", search_paths=[PACKAGE.parent], allow_inspection=False)


def _first_paragraph(text: str) -> str:
    return " ".join(text.strip().partition("\n\n")[0].split())


def generated() -> Iterator[tuple[str, str]]:
    """(address, Markdown) of every page that is made."""
    by_group = groups()
    for group, members in by_group.items():
        if group:
            yield f"reference/{page_of(group)}", group_page(group, members, known(), describe)
    for choice in by_group[""]:
        yield f"reference/{page_of(choice.name)}", root_page(choice, known(), describe)
    for room, modules in rooms().items():
        yield f"reference/python/{room}.md", room_page(room, modules)
    yield "reference/index.md", index_page(by_group, {r: next(iter(m.values())) for r, m in rooms().items()})
    for address, name in COPIED.items():
        yield address, (ROOT / name).read_text(encoding="utf-8")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages that are made into the navigation."""
    made = {
        "Commands": [page_of(choice.name) for choice in groups()[""]],
        "Configuration": [page_of(group) for group in groups() if group],
        "Python": [f"python/{room}.md" for room in rooms()],
    }
    sections = [{title: [f"reference/{page}" for page in pages]} for title, pages in made.items()]
    for section in config.nav or []:
        if "Reference" in section:
            section["Reference"] = ["reference/index.md", *sections]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made to those that are written."""
    for address, text in generated():
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to the repository's files to where the site shows them, as GitHub leads to the files."""
    address = page.file.src_uri
    if address.startswith("reference/"):
        return markdown
    in_repository = COPIED.get(address, f"docs/{address}")
    folder = posixpath.dirname(in_repository)

    def lead(match: re.Match[str]) -> str:
        link, fragment = match[1], match[2] or ""
        target = outside(posixpath.normpath(posixpath.join(folder, link)), known())
        if target is None:
            return match[0]
        return f"]({posixpath.relpath(target, posixpath.dirname(address) or '.')}{fragment})"

    return re.sub(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)", lead, markdown)
