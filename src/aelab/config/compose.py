"""From command-line overrides to one checked configuration, before torch is imported.

A misspelled key costs half a second and is answered with the nearest keys that exist.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aelab.config.construct import construct
from aelab.config.folders import file_of, folders, groups, searched_first
from aelab.config.mistakes import INSTEAD, explain, key_of
from aelab.config.nearest import nearest
from aelab.config.recorded import leaves
from aelab.config.session import session
from aelab.config.start import take_over
from aelab.core.errors import ConfigurationError
from aelab.core.text import has_secret_address

SWEEPS = ("sweep", "launcher")
"""The groups that say which trainings there are and where they run; none of the trainings reads them."""

SECRET_OPTION = re.compile(r"(?i)(^|[._])(api_?key|passw(or)?d|secret|token|credentials?)$")

PLACES = ("outputs", "to")
"""The options that say where a command's files go."""


def compose(
    overrides: Sequence[str] = (), name: str = "train", conf: Iterable[str | Path] = ()
) -> DictConfig:
    """The configuration that the command line would compose, checked and resolved: for notebooks and tests.

    name: of the command.  conf: folders of your own that are searched first, as `--config-dir` names them.
    Raises ConfigurationError for what cannot be composed, naming the nearest valid keys.
    """
    refuse(overrides, name)
    with searched_first(conf), session():
        try:
            config = hydra.compose(name, list(overrides), return_hydra_config=True)
            HydraConfig.instance().set_config(config)
            return checked(config)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigurationError(explain(error, overrides, name)) from error


def checked(config: DictConfig) -> DictConfig:
    """A copy without interpolations and without Hydra's own node.

    Raises ConfigurationError for a root that no part reads, for words where numbers belong, and for options
    that have no effect here.
    """
    job = HydraConfig.get()
    name, overrides = str(job.job.config_name), list(job.overrides.task)
    _check_effects(config, name)
    _check_numbers(config, overrides, name)
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key not in ("hydra", *SWEEPS)])
    infer(config)
    if "start" in config:
        take_over(config, overrides)
    plain = OmegaConf.create(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    assert isinstance(plain, DictConfig)
    for key, value in leaves(plain):
        if isinstance(value, str) and has_secret_address(value):
            raise ConfigurationError(
                f"{key} is an address with a password or a token, and every option is recorded: give it "
                "by the environment"
            )
    known = sorted({*_roots(name), *groups(), "callbacks"})
    for key in map(str, plain):
        if key not in known:
            raise ConfigurationError(f"unknown option {key!r}; {nearest(key, known)}")
    _let_folds_validate(plain, overrides)
    return plain


def infer(config: DictConfig) -> None:
    """Give options of `data` that are null what its files say, if it names what reads it of them."""
    if "inferred" not in (config.get("data") or {}):
        return
    OmegaConf.set_struct(config, False)
    node = config.data.pop("inferred")
    if node is None:
        return
    options = OmegaConf.to_container(config.data, resolve=True)
    for key, value in construct(node, "data.inferred")(options).items():
        if OmegaConf.select(config.data, key) is None:
            OmegaConf.update(config.data, key, value)


def _roots(name: str) -> set[str]:
    return {str(key) for key in OmegaConf.load(file_of(name))} - {"hydra", "defaults"}


def _check_effects(config: DictConfig, name: str) -> None:
    """Refuse what Hydra and Lightning would take, and what would have no effect or a wrong one here."""
    given: Any = OmegaConf.to_container(HydraConfig.get(), resolve=False)
    for key in _places(name):
        _check_place(key, functools.reduce(lambda node, part: node[part], key.split("."), given), name)
    if (launcher := HydraConfig.get().runtime.choices.get("hydra/launcher")) != "basic":
        raise ConfigurationError(f"hydra/launcher={launcher} has no effect here: choose launcher=NAME")
    if OmegaConf.select(config, "critic") and not OmegaConf.select(config, "objective.critics"):
        raise ConfigurationError(
            f"critic/{next(iter(config.critic))} is chosen of no critic: add one, as critic=[samples], or "
            "leave it out"
        )
    for key, instead in INSTEAD.items():
        if OmegaConf.select(config, key):
            raise ConfigurationError(f"{key} does not work here: choose {instead}")


def _places(name: str) -> dict[str, str | None]:
    """Hydra's options of where files go, and what they are as long as nobody moves them."""
    alone = {"run.dir": ".", "output_subdir": None, "job.chdir": None}
    # Of any other command's sweep Hydra keeps a note there.
    return {**alone, "sweep.dir": ".", "sweep.subdir": "${hydra.job.num}"} if name == "train" else alone


def _check_place(key: str, value: object, name: str) -> None:
    if value != _places(name)[key]:
        place = next((f"{key}=FOLDER says where files go" for key in PLACES if key in _roots(name)), None)
        raise ConfigurationError(f"hydra.{key} has no effect here: {place or 'leave it out'}")


def refuse(overrides: Sequence[str], name: str) -> None:
    """ConfigurationError for what is refused before Hydra sees it, which would make folders and keep notes.

    An address with a password in it, for every option is recorded, sent and shown; and folders of Hydra's.
    """
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if has_secret_address(override):
            raise ConfigurationError(
                f"{key} is an address with a password or a token, and every option is recorded: leave it "
                "out, and give it by the environment, as MLFLOW_TRACKING_PASSWORD or PGPASSWORD"
            )
        if SECRET_OPTION.search(key) and value not in ("", "null"):
            raise ConfigurationError(
                f"{key} is a secret, and every option is recorded: leave it out, and give it by the "
                "environment, as WANDB_API_KEY"
            )
        if key.startswith("hydra.") and (option := key.removeprefix("hydra.")) in _places(name):
            _check_place(option, None if value == "null" else value.strip("'\""), name)


def tells_of_sweeps(override: str) -> bool:
    """Whether an override is one of `SWEEPS`' options or choices."""
    return re.split(r"[./@=]", override.lstrip("+~"))[0] in SWEEPS


def _check_numbers(config: DictConfig, overrides: Sequence[str], name: str) -> None:
    """Refuse a word for an option whose default is a number or a truth value."""
    chosen = tuple(o for o in overrides if key_of(o) in groups())
    for key in (key_of(o) for o in overrides if o not in chosen):
        value = OmegaConf.select(config, key)
        default = OmegaConf.select(_chosen(name, chosen, folders()), key) if isinstance(value, str) else None
        if isinstance(default, int | float):
            kind = "true or false" if isinstance(default, bool) else "a number"
            raise ConfigurationError(f"{key}={value}: {kind} is expected here, as {default}")


@functools.lru_cache(32)
def _chosen(name: str, chosen: tuple[str, ...], searched: tuple[Path, ...]) -> DictConfig:
    """The defaults under a choice of groups, in the folders that are searched."""
    return hydra.compose(name, list(chosen))


def _let_folds_validate(plain: DictConfig, overrides: Sequence[str]) -> None:
    """Take out the size of a validation split that a data set has by default, where folds are asked for."""
    folds = OmegaConf.select(plain, "data.folds")
    if folds is None:
        return
    typed = [o for o in overrides if key_of(o) == "data.validation" and not o.endswith("=null")]
    if typed:
        raise ConfigurationError(
            f"{typed[0]} and data.folds={folds} both say what validation is: leave one out"
        )
    plain.data.validation = None
