"""`aelab COMMAND --help`: what it does, examples, its groups, and its options as conf/ has them."""

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from aelab.config.folders import choices, chosen_groups, file_of

WIDEST = 120  # columns


def help_of(name: str) -> str:
    """The help of a command, to be printed."""
    from omegaconf import OmegaConf

    found = file_of(name)
    words: Any = OmegaConf.to_container(OmegaConf.load(found).hydra.help, resolve=False)
    parts = [
        f"{words['header']}\n",
        textwrap.indent(words["template"].rstrip(), "  ") + "\n",
        _groups(chosen_groups(name)),
        "Options (any value below a group's, too: --cfg job prints all that your choices compose):\n\n"
        + textwrap.indent("\n".join(_options(found.read_text(encoding="utf-8"))), "  "),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _groups(names: Sequence[str]) -> str:
    """The choices of each group, one paragraph a group."""
    if not names:
        return ""
    width = min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
    widest = max(map(len, names)) + 1
    lines = [
        textwrap.fill(
            ", ".join(choices(group)), width, initial_indent=f"  {group + ':':<{widest}} ",
            subsequent_indent=" " * (widest + 3), break_on_hyphens=False,
        )
        for group in names
    ]  # fmt: skip
    several = "; several of callback, logger and objective/penalty, as callback=[ema]" * ("callback" in names)
    return "\n".join([f"Groups, of which one is chosen, as {names[0]}=NAME{several}:\n", *lines, ""])


def _options(text: str) -> Iterator[str]:
    """The lines of a command's file that say its own options, with their comments."""
    own = True
    for line in text.splitlines():
        if re.match(r"\w", line):
            own = not line.startswith(("defaults:", "hydra:"))
        if own and line.strip() and not line.startswith("#"):
            yield line
