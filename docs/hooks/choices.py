"""The files under conf/, with their comments, options and parts, read without composing them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Option:
    """One value of a file, by the key that overrides it on the command line, as it is written there."""

    key: str
    value: str
    comment: str


@dataclass(frozen=True)
class Choice:
    """One file under conf/.

    name: the file's path without its ending, as `variant/vae`.
    about: the comment that it opens with.
    defaults: (group, choice) of its defaults list; a group of "" is that of the file.
    targets: the `_target_` of every part that it names, with the part's key.
    """

    name: str
    about: str
    defaults: list[tuple[str, str]]
    options: list[Option]
    targets: list[tuple[str, str]]

    @property
    def group(self) -> str:
        """The folder of the file, as it is written on the command line; "" at the root."""
        return self.name.rpartition("/")[0]

    @property
    def title(self) -> str:
        """The file's name, as it is written on the command line."""
        return self.name.rpartition("/")[2]


def choices(conf: Path) -> list[Choice]:
    """Every file under conf/, by name."""
    return [read(path, conf) for path in sorted(conf.rglob("*.yaml"))]


def read(path: Path, conf: Path) -> Choice:
    """One file under conf/."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(conf).with_suffix("").as_posix()
    root = yaml.compose(text, yaml.SafeLoader)
    entries = list(_entries(root)) if isinstance(root, yaml.MappingNode) else []
    kept = [(k, v) for k, v in entries if k.value not in ("defaults", "hydra")]
    leaves = list(_leaves(kept, _package(text, name), text))
    return Choice(
        name=name,
        about=_about(text),
        defaults=[d for key, node in entries if key.value == "defaults" for d in _defaults(node)],
        options=[o for o in leaves if not o.key.rpartition(".")[2].startswith("_")],
        targets=[(o.key.rpartition(".")[0], o.value) for o in leaves if o.key.endswith("_target_")],
    )


def _about(text: str) -> str:
    """The comment that the file opens with, on one line."""
    opening = re.match(r"(?:#[^\n]*\n)*", text)
    lines = opening[0].splitlines() if opening else []
    return " ".join(line.lstrip("# ") for line in lines if not line.startswith("# @package"))


def _package(text: str, name: str) -> str:
    """Where in the configuration the file's keys stand, with the last dot; "" for the root."""
    header = re.match(r"# @package (\S+)", text)
    package = header[1] if header else name.rpartition("/")[0].replace("/", ".")
    return "" if package in ("", "_global_") else f"{package}."


def _entries(node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    yield from node.value


def _leaves(entries: list[tuple[yaml.ScalarNode, yaml.Node]], prefix: str, text: str) -> Iterator[Option]:
    """Every value, depth first; what has values of its own only where a comment speaks of it."""
    for key, node in entries:
        name = f"{prefix}{key.value}"
        nested = isinstance(node, yaml.MappingNode) and bool(node.value)
        block = isinstance(node, yaml.CollectionNode) and not node.flow_style
        comment = _comment(text, key.end_mark.index + 1 if block else node.end_mark.index)
        if not nested:
            yield Option(name, _written(node, text), comment)
            continue
        if comment:
            yield Option(name, "", comment)
        yield from _leaves(list(_entries(node)), f"{name}.", text)


def _comment(text: str, position: int) -> str:
    """The comment behind a position, on its line."""
    match = re.match(r"[^\n#]*[ \t]#[ \t]*([^\n]*)", text[position:])
    return match[1] if match else ""


def _written(node: yaml.Node, text: str) -> str:
    """A value as its file has it; a list on several lines, on one."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return f"[{', '.join(_written(item, text) for item in node.value)}]"
    return text[node.start_mark.index : node.end_mark.index].strip()


def _defaults(node: yaml.Node) -> Iterator[tuple[str, str]]:
    """(group, choice) of each entry that chooses something; none of Hydra's own or of what may be missing."""
    for item in yaml.SafeLoader("").construct_document(node):
        group, chosen = ("", item) if isinstance(item, str) else next(iter(item.items()))
        group = group.removeprefix("override ").strip("/")
        if item == "_self_" or not chosen or group.startswith(("hydra/", "optional ")):
            continue
        for one in [chosen] if isinstance(chosen, str) else chosen:
            yield group, one.partition("@")[0]
