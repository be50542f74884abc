"""`aelab COMMAND --help`: what it does, examples, its groups, and its options as conf/ has them."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from aelab.config.folders import choices, chosen_groups, file_of
from aelab.core.text import columns, folded

OPTIONS = "Options (any value below a group's, too: --cfg job prints all that your choices compose):"


def help_of(name: str) -> str:
    """The help of a command, to be printed."""
    from omegaconf import OmegaConf

    found = file_of(name)
    words: Any = OmegaConf.to_container(OmegaConf.load(found).hydra.help, resolve=False)
    parts = [
        f"{words['header']}\n",
        "\n".join(map(_fitting, words["template"].rstrip().splitlines())) + "\n",
        _groups(chosen_groups(name)),
        folded(OPTIONS, columns()) + "\n",
        "\n".join(_fitting(line, "# ") for line in _options(found.read_text(encoding="utf-8"))),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _groups(names: Sequence[str]) -> str:
    """The choices of each group, one paragraph a group."""
    if not names:
        return ""
    widest = max(map(len, names)) + 1
    later = " " * (widest + 3)
    lines = [
        folded(", ".join(choices(group)), columns(), f"  {group + ':':<{widest}} ", later) for group in names
    ]
    several = "; several of callback, logger and objective/penalty, as callback=[ema]" * ("callback" in names)
    head = folded(f"Groups, of which one is chosen, as {names[0]}=NAME{several}:", columns())
    return "\n".join([f"{head}\n", *lines, ""])


def _options(text: str) -> Iterator[str]:
    """The lines of a command's file that say its own options, with their comments."""
    own = True
    for line in text.splitlines():
        if re.match(r"\w", line):
            own = not line.startswith(("defaults:", "hydra:"))
        if own and line.strip() and not line.startswith("#"):
            yield line


def _fitting(line: str, later: str = "") -> str:
    """A line, and what goes on below it, as an option's comment; a command is left whole, to be copied."""
    if line.startswith("aelab "):
        return f"  {line}"
    below = " " * (len(line) - len(line.lstrip()) + (6 if later else 2))
    return folded(f"  {line}", columns(), later=below + later)
