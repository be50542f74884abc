"""One command: its configuration composed by Hydra and handed on, and one sentence where either fails."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import NoReturn

from hydra import version
from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from aelab.config.compose import checked, refuse
from aelab.config.folders import own, searched_first
from aelab.config.mistakes import explain
from aelab.config.nearest import nearest
from aelab.core.errors import AelabError, ConfigurationError, lacks_disk, lacks_memory
from aelab.core.invocation import Invocation, called
from aelab.core.paths import conf_dir
from aelab.core.terminal import console, results_as_json

FLAGS = (
    "--help",
    "--config-dir",
    "--json",
    "--tree",
    "--multirun",
    "-m",
    "--cfg",
    "--package",
    "--resolve",
    "--info",
)
OURS = (AelabError, HydraException, OmegaConfBaseException)


def carry_out(
    name: str,
    arguments: Sequence[str],
    command: Sequence[str] = (),
    conf: Sequence[str] = (),
    trust: Sequence[str] = (),
    json: bool = False,
    tree: bool = False,
) -> None:
    """Compose and run a command.

    arguments: overrides, and flags of Hydra's own.  command: the words by which the program knows it.
    conf, trust: as `searched_first` takes them.  json: whether only its result goes to stdout.
    tree: whether what is composed is shown, and no more is done.
    """
    wants_trace = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # otherwise Hydra exits before we can say it better
    # Threads that wait for others by spinning take the cores from whoever else computes on the machine,
    # and what takes seconds takes minutes then.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

    def fail(error: Exception) -> NoReturn:
        if wants_trace:
            raise error
        print(f"error: {explain(error, arguments, name)}", file=sys.stderr)
        sys.exit(1)

    def task(config: DictConfig) -> None:
        try:
            settings = checked(config)
            if tree:
                return _show(settings, name)
            _open(name)
            import_module(f"aelab.cli.{name}").main(settings)  # torch, once all has been composed
        except Exception as error:
            if (known := _known(error)) is None or HydraConfig.get().mode is RunMode.MULTIRUN:
                raise
            fail(known)

    with ExitStack() as stack:
        try:
            if json:
                stack.enter_context(results_as_json())
            stack.enter_context(searched_first(conf, trust))
            called(Invocation(sys.argv[0], tuple(command), own(), tuple(trust)))
            refuse(arguments, name)
            _hydra(name, arguments, task, tree)
        except OURS as error:
            fail(error)


def _known(error: Exception) -> Exception | None:
    """The error to be said in a sentence; None for a defect of ours."""
    why = lacks_memory(error) or lacks_disk(error)
    return error if isinstance(error, OURS) else None if why is None else ConfigurationError(why)


def _show(settings: DictConfig, name: str) -> None:
    from aelab.cli.tree import tree

    console().print(tree(settings, name, HydraConfig.get().runtime.choices))


def _open(name: str) -> None:
    """Say on a terminal what begins, before the seconds that torch takes to load."""
    hydra = HydraConfig.get()
    if sys.stdout.isatty() and hydra.mode is RunMode.RUN:
        choices = hydra.runtime.choices
        what = f"{choices['variant']} on {choices['data']}" if "variant" in choices else ""
        print(" ".join(filter(None, [f"{name:<9}", what, *hydra.overrides.task])), flush=True)


def _hydra(name: str, arguments: Sequence[str], task: Callable[[DictConfig], None], tree: bool) -> None:
    """What `hydra.main` does, of given words: those of the process name the command too."""
    version.setbase("1.3")
    parser = get_args_parser()
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise ConfigurationError(f"unknown flag {unknown[0]}; {nearest(unknown[0], FLAGS)}")
    if (args.cfg or tree) and args.multirun:
        flag = "--tree" if tree else "--cfg"
        raise ConfigurationError(f"{flag} shows one configuration: leave out -m, and what is varied")
    _run_hydra(
        args=args,
        args_parser=parser,
        task_function=task,
        config_path=str(conf_dir()),
        config_name=name,
    )
