"""A composed configuration as a tree, for `--tree`."""

import json
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.text import Text
from rich.tree import Tree


def tree(config: DictConfig, name: str, chosen: Mapping[str, str | None]) -> Tree:
    """The tree of a command's configuration: the choice of each group, then one leaf for each option.

    chosen: group -> its choice, as Hydra knows them.
    """
    root = Tree(Text(name, "bold"), guide_style="dim")
    groups = {
        key: choice
        for key, choice in chosen.items()
        if choice and key != "local" and not key.startswith("hydra")
    }
    _grow(root, {"choices": groups} if groups else {})
    values: Any = OmegaConf.to_container(config, resolve=True)
    _grow(root, {key: value for key, value in values.items() if key != "hydra"})
    return root


def _grow(branch: Tree, values: Mapping[Any, Any]) -> None:
    """Leaves first, so that no option stands far below its heading."""
    for key, value in sorted(values.items(), key=lambda item: _is_branch(item[1])):
        if _is_branch(value):
            _grow(branch.add(Text(str(key), "bold cyan")), value)
        else:
            branch.add(Text.assemble((f"{key} ", "cyan"), value if isinstance(value, str) else _text(value)))


def _is_branch(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
