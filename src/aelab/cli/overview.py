"""The commands, and a line for each."""

import re

from aelab.core.paths import conf_dir
from aelab.core.text import columns, folded

SWEEP = "Train many: a grid or a search over any options; the same as aelab train -m."
TEXT = """\
aelab COMMAND [OPTION=VALUE ...]: a laboratory for autoencoders

{lines}

{rest}
eval "$(aelab --completion bash)" completes commands and options.
"""
REST = (
    "Every command takes --help, --tree, which shows what a line composes, and --config-dir DIR, whose files "
    "are found before the project's own; those that end with a table take --json. In bash, zsh and fish,"
)


def commands() -> dict[str, str]:
    """What each command does, by name: a module beside this one and a file in conf/, which says it."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in conf_dir().glob("*.yaml")}
    found = {name: re.findall(r"^ +header: (.*)$", text, re.MULTILINE)[0] for name, text in texts.items()}
    return dict(sorted([*found.items(), ("sweep", SWEEP)]))


def overview() -> str:
    """All of them, to be printed."""
    width = columns()
    lines = [folded(line, width, f"  {name:<13}", " " * 15) for name, line in commands().items()]
    return TEXT.format(lines="\n".join(lines), rest=folded(REST, width))
