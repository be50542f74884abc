"""From command-line overrides to one checked configuration, before torch is imported.

A misspelled key costs half a second and is answered with the nearest keys that exist.
"""

import functools
import math
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
from aelab.config.folders import choices, file_of, folders, groups, searched_first
from aelab.config.mistakes import INSTEAD, explain, key_of
from aelab.config.nearest import nearest
from aelab.config.recorded import leaves
from aelab.config.session import session
from aelab.config.start import take_over
from aelab.core.checks import at_least
from aelab.core.errors import ConfigurationError
from aelab.core.text import has_secret_address

SWEEPS = ("sweep", "launcher")
"""The groups that say which trainings there are and where they run; none of the trainings reads them."""

SECRET_OPTION = re.compile(r"(?i)(^|[._])(api_?key|passw(or)?d|secret|token|credentials?)$")

SEVERAL = ("callback", "critic", "logger", "objective/penalty")
"""The groups of which several are chosen, or none."""

NEVER_NULL = (
    "data.batch_size",
    "objective.critics.",
    "objective.samples",
    "objective.terms",
    "optimizer.",
    "resume_points.every_s",
)
"""Where null, which in most places asks for nothing or the usual, is no value."""

OmegaConf.register_new_resolver("product", lambda sizes: math.prod(sizes), replace=True)

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
    _check_values(config, overrides, name)
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
    at_least(1, threads=plain.get("threads"))
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

    An address with a password in it, for every option is recorded, sent and shown; folders of Hydra's; and
    null for a group, of which Hydra says nothing.
    """
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if value == "null" and key in groups():
            none = f"{key}=[]" if key in SEVERAL else f"{key}=none" if "none" in choices(key) else None
            known = f"choose of {', '.join(choices(key))}, or leave it out"
            raise ConfigurationError(f"{key}=null is no choice: {f'give {none} for none' if none else known}")
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


def _check_values(config: DictConfig, overrides: Sequence[str], name: str) -> None:
    """Refuse null, words or one value where the default says that a number, a part or options belong."""
    chosen = tuple(o for o in overrides if key_of(o) in groups())
    for key in (key_of(o) for o in overrides if o not in chosen and not o.startswith("~")):
        value = OmegaConf.select(config, key)
        if value is None or isinstance(value, str):
            default = OmegaConf.select(_chosen(name, chosen, folders()), key)
            if why := _unfit(key, value, default):
                raise ConfigurationError(f"{key}={'null' if value is None else value}: {why}")


def _unfit(key: str, value: str | None, default: object) -> str | None:
    """Why a value cannot stand where the default is; None where it can."""
    is_required = "." not in key or key.startswith(NEVER_NULL)
    if isinstance(default, DictConfig) and (value is not None or is_required):
        part = key.rpartition(".")[2]
        instead = f"choose {part}=NAME" if part in groups() else "give its options one by one"
        return f"it has options ({', '.join(map(str, list(default)[:4]))}): {instead}, or leave it out"
    if isinstance(default, int | float) and (value is not None or is_required):
        kind = "true or false" if isinstance(default, bool) else "a number"
        return f"{kind} is expected here, as {default}"
    if isinstance(default, str) and value is None and "." not in key:
        return f"a word is expected here, as {default}"
    return None


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
