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
from aelab.core.errors import AelabError, ConfigurationError
from aelab.core.invocation import Invocation, called
from aelab.core.paths import conf_dir
from aelab.core.terminal import results_as_json

FLAGS = ("--help", "--config-dir", "--json", "--multirun", "-m", "--cfg", "--package", "--resolve", "--info")
OURS = (AelabError, HydraException, OmegaConfBaseException)


def carry_out(
    name: str,
    arguments: Sequence[str],
    command: Sequence[str] = (),
    conf: Sequence[str] = (),
    json: bool = False,
) -> None:
    """Compose and run a command.

    arguments: overrides, and flags of Hydra's own.  command: the words by which the program knows it.
    conf: folders of configurations that are searched first.  json: whether only its result goes to stdout.
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
            import_module(f"aelab.cli.{name}").main(settings)  # torch, once all has been composed
        except OURS as error:
            if HydraConfig.get().mode is RunMode.MULTIRUN:
                raise
            fail(error)

    with ExitStack() as stack:
        try:
            if json:
                stack.enter_context(results_as_json())
            stack.enter_context(searched_first(conf))
            called(Invocation(sys.argv[0], tuple(command), own()))
            refuse(arguments, name)
            _hydra(name, arguments, task)
        except OURS as error:
            fail(error)


def _hydra(name: str, arguments: Sequence[str], task: Callable[[DictConfig], None]) -> None:
    """What `hydra.main` does, of given words: those of the process name the command too."""
    version.setbase("1.3")
    parser = get_args_parser()
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise ConfigurationError(f"unknown flag {unknown[0]}; {nearest(unknown[0], FLAGS)}")
    if args.cfg and args.multirun:
        raise ConfigurationError("--cfg shows one configuration: leave out -m, and what is varied")
    _run_hydra(
        args=args,
        args_parser=parser,
        task_function=task,
        config_path=str(conf_dir()),
        config_name=name,
    )
