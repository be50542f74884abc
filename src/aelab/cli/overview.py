"""The commands, and a line for each."""

import re

from aelab.core.paths import conf_dir

SWEEP = "Train many: a grid or a search over any options; the same as aelab train -m."
TEXT = """\
aelab COMMAND [OPTION=VALUE ...]: a laboratory for autoencoders

{lines}

Every command takes --help, --tree, which shows what a line composes, and --config-dir DIR, whose files are
found before the project's own; those that end with a table take --json. In bash, zsh and fish,
eval "$(aelab --completion bash)" completes commands and options.
"""


def commands() -> dict[str, str]:
    """What each command does, by name: a module beside this one and a file in conf/, which says it."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in conf_dir().glob("*.yaml")}
    found = {name: re.findall(r"^ +header: (.*)$", text, re.MULTILINE)[0] for name, text in texts.items()}
    return dict(sorted([*found.items(), ("sweep", SWEEP)]))


def overview() -> str:
    """All of them, to be printed."""
    return TEXT.format(lines="\n".join(f"  {name:<12}{line}" for name, line in commands().items()))
