"""The flags that all commands share; the others are Hydra's."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from aelab.core.errors import ConfigurationError

TRUST = "trust="
TABLES = ("train", "evaluate", "compare", "reproduce")  # the commands that end with one


class Parser(argparse.ArgumentParser):
    """Raises ConfigurationError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(message)


def flags(name: str, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """`config_dir`, `trust`, `json`, `tree` and `help` of a command line, and what is left of it for Hydra.

    Raises ConfigurationError for a flag that the command has no use for.
    """
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tree", action="store_true")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--config-path", "-cp", "--config-name", "-cn", dest="other")
    given, rest = parser.parse_known_args(arguments)
    if given.other is not None:
        raise ConfigurationError(
            "a command has one configuration: put yours into a folder as DIR/experiment/NAME.yaml, and give "
            "--config-dir DIR experiment=NAME in the place of --config-path and --config-name"
        )
    if given.json and name not in TABLES:
        raise ConfigurationError(f"--json is for what ends with a table: {', '.join(TABLES)} and sweep")
    given.trust = [name for word in rest for name in _trusted(word)]
    return given, [word for word in rest if not word.startswith(TRUST)]


def _trusted(word: str) -> list[str]:
    """`a.B` and `c.D` of `trust=[a.B,c.D]`, which every command takes and no configuration records."""
    names = word.removeprefix(TRUST).strip("[]") if word.startswith(TRUST) else ""
    return [name.strip(" '\"") for name in names.split(",") if name.strip()]
