"""`aelab COMMAND ...`, and the scripts, which are a command each."""

import sys
from collections.abc import Sequence
from signal import SIGINT
from typing import NoReturn

from aelab import __version__
from aelab.cli.flags import flags
from aelab.cli.help import help_of
from aelab.cli.overview import commands, overview
from aelab.config.folders import searched_first
from aelab.config.nearest import nearest
from aelab.core.errors import AelabError
from aelab.core.guest import be_a_guest


def main() -> None:
    """Run the command that the first word names; words without one say what there is."""
    be_a_guest()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        print(overview(), end="")
    elif name == "--version":
        print(__version__)
    elif name in ("--completion", "--complete"):
        _complete(name, arguments)
    elif name == "sweep":
        run("train", ["-m", *arguments], ("train",))
    elif name in commands():
        run(name, arguments, (name,))
    else:
        _fail(f"unknown command {name!r}; {nearest(name, list(commands()))}")


def run(name: str, arguments: Sequence[str] | None = None, command: Sequence[str] = ()) -> None:
    """Carry out a command; one sentence and exit code 1 where that cannot be.

    arguments: None takes the process's own.  command: the words by which the program knows the command.
    """
    be_a_guest()
    try:
        given, rest = flags(name, sys.argv[1:] if arguments is None else arguments)
        if given.help:
            with searched_first(given.config_dir):
                print(help_of(name), end="")
            return
        from aelab.cli.command import carry_out  # Hydra, once there is something to compose

        carry_out(name, rest, command, given.config_dir, given.trust, given.json, given.tree)
    except AelabError as error:
        _fail(str(error))
    except KeyboardInterrupt:  # also while torch and others are imported
        print("interrupted", file=sys.stderr)
        sys.exit(128 + SIGINT)


def _complete(flag: str, arguments: Sequence[str]) -> None:
    from aelab.cli.completion import candidates, script

    try:
        print(script(*arguments) if flag == "--completion" else candidates(*arguments), end="")
    except (AelabError, TypeError) as error:
        _fail(str(error))


def _fail(sentence: str) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(1)
