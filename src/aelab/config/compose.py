"""From command-line overrides to one checked configuration, before torch is imported.

A misspelled key costs half a second and is answered with the nearest keys that exist.
"""

import difflib
import functools
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue, OmegaConfBaseException

from aelab.config.start import take_over
from aelab.core.errors import AelabError, ConfigurationError
from aelab.core.paths import conf_dir

Task = Callable[[DictConfig], None]

SWEEPS = ("sweep", "launcher")
"""The groups that say which trainings there are and where they run; none of the trainings reads them."""


def compose(overrides: Sequence[str] = (), name: str = "train") -> DictConfig:
    """The configuration that the command line would compose, checked and resolved: for notebooks and tests.

    Raises ConfigurationError for what cannot be composed, naming the nearest valid keys.
    """
    refuse_passwords(overrides)
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        try:
            config = hydra.compose(name, list(overrides), return_hydra_config=True)
            HydraConfig.instance().set_config(config)
            return checked(config)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigurationError(explain(error, overrides, name)) from error


def recompose(chosen: Sequence[Sequence[str]]) -> list[DictConfig]:
    """What the command line at hand would compose with more overrides, or others, in the place of its own.

    For use within a task; the task's own configuration stays Hydra's.
    """
    job, before = HydraConfig.instance(), HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    try:
        return [compose(overrides) for overrides in chosen]
    finally:
        job.cfg = before


def checked(config: DictConfig) -> DictConfig:
    """A copy without interpolations and without Hydra's own node.

    Raises ConfigurationError for a root that no part reads and for words where numbers belong.
    """
    job = HydraConfig.get()
    overrides = list(job.overrides.task)
    _check_numbers(config, overrides, str(job.job.config_name))
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key not in ("hydra", *SWEEPS)])
    if "start" in config:
        take_over(config, overrides)
    plain = OmegaConf.create(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    assert isinstance(plain, DictConfig)
    known = sorted({*_roots(str(job.job.config_name)), *_groups(), "callbacks"})
    for key in map(str, plain):
        if key not in known:
            raise ConfigurationError(f"unknown option {key!r}; {_nearest(key, known)}")
    _let_folds_validate(plain, overrides)
    return plain


def command(name: str) -> Callable[[Task], Callable[[], None]]:
    """Make a task of a configuration a command: Hydra's line, our sentences when it fails."""
    ours = (AelabError, HydraException, OmegaConfBaseException)

    def decorate(task: Task) -> Callable[[], None]:
        @functools.wraps(task)
        def checked_task(config: DictConfig) -> None:
            try:
                task(checked(config))
            except ours as error:
                if wants_trace or HydraConfig.get().mode is RunMode.MULTIRUN:
                    raise
                _fail(error, name)

        def run() -> None:
            try:
                refuse_passwords(sys.argv[1:])
                hydra.main(str(conf_dir()), name, version_base="1.3")(checked_task)()
            except ours as error:
                if wants_trace:
                    raise
                _fail(error, name)

        # Threads that wait for others by spinning take the cores from whoever else computes on the machine,
        # and what takes seconds takes minutes then.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        wants_trace = "HYDRA_FULL_ERROR" in os.environ
        os.environ["HYDRA_FULL_ERROR"] = "1"  # otherwise Hydra exits before we can say it better
        return run

    return decorate


def refuse_passwords(overrides: Sequence[str]) -> None:
    """ConfigurationError for an address with a password in it: every option is recorded, sent and shown."""
    for override in overrides:
        if re.search(r"://[^/\s:@]*:[^/\s@]+@", override):
            raise ConfigurationError(
                f"{_key(override)} is an address with a password, and every option is recorded: leave it "
                "out, and give it by the environment, as MLFLOW_TRACKING_PASSWORD or PGPASSWORD"
            )


def tells_of_sweeps(override: str) -> bool:
    """Whether an override is one of `SWEEPS`' options or choices."""
    return re.split(r"[./@=]", override.lstrip("+~"))[0] in SWEEPS


def _fail(error: Exception, name: str) -> NoReturn:
    print(f"error: {explain(error, sys.argv[1:], name)}", file=sys.stderr)
    sys.exit(1)


def _check_numbers(config: DictConfig, overrides: Sequence[str], name: str) -> None:
    """Refuse a word for an option whose default is a number or a truth value."""
    base = _chosen(name, tuple(o for o in overrides if _key(o) in _groups()))
    for key in (_key(o) for o in overrides if _key(o) not in _groups()):
        default, value = OmegaConf.select(base, key), OmegaConf.select(config, key)
        if isinstance(default, int | float) and isinstance(value, str):
            kind = "true or false" if isinstance(default, bool) else "a number"
            raise ConfigurationError(f"{key}={value}: {kind} is expected here, as {default}")


@functools.cache
def _chosen(name: str, groups: tuple[str, ...]) -> DictConfig:
    """The defaults under a choice of groups."""
    return hydra.compose(name, list(groups))


def _let_folds_validate(plain: DictConfig, overrides: Sequence[str]) -> None:
    """Take out the size of a validation split that a data set has by default, where folds are asked for."""
    folds = OmegaConf.select(plain, "data.folds")
    if folds is None:
        return
    typed = [o for o in overrides if _key(o) == "data.validation" and not o.endswith("=null")]
    if typed:
        raise ConfigurationError(
            f"{typed[0]} and data.folds={folds} both say what validation is: leave one out"
        )
    plain.data.validation = None


def explain(error: Exception, overrides: Sequence[str] = (), name: str = "train") -> str:
    """One sentence for an error of the configuration."""
    message = " ".join(str(error).split())
    key = _missing_key(error)
    if key is not None:
        given = [o for o in overrides if not o.startswith("-") and _key(o) != key]
        return f"unknown option {key!r}; {_nearest(key, list(_valid_keys(given, name)))}"
    group = re.search(
        r"Could not find '([^']+)/([^'/]+)'|In '[^']+': Could not find '([^']+)/([^'/]+)'", message
    )
    if isinstance(error, MissingConfigException) and group:
        found, choice = group.group(1) or group.group(3), group.group(2) or group.group(4)
        return f"unknown {found} {choice!r}; {_nearest(choice, choices(found))}"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is needed, and has no default: give {error.full_key}=..."
    if isinstance(error, InterpolationKeyError):
        missing = re.search(r"Interpolation key '([^']+)'", str(error))
        return (
            f"{error.full_key} follows {missing and missing.group(1)}, which this composition lacks: choose "
            "parts that go together, as a variant does"
        )
    if isinstance(error, OverrideParseException):
        fit = _quoted(str(error.override)) or message
        return f"cannot read the override {error.override!r}: {fit}"
    return message


def _quoted(override: str) -> str | None:
    """The advice to quote a value, where that makes it one that can be read."""
    key, _, value = override.partition("=")
    if not value or value.startswith(("[", "{", "'", '"')):
        return None
    try:
        OverridesParser.create().parse_override(quoted := f'{key}="{value}"')
    except HydraException:
        return None
    return f"its value needs quotes of its own, as {shlex.quote(quoted)}"


def _groups() -> set[str]:
    """All that can be chosen on the command line; a folder `base` holds what choices share."""
    folders = (path for path in conf_dir().rglob("*") if path.is_dir() and path.name != "base")
    return {str(path.relative_to(conf_dir())) for path in folders}


def _roots(name: str) -> set[str]:
    return {str(key) for key in OmegaConf.load(conf_dir() / f"{name}.yaml")} - {"hydra", "defaults"}


def choices(group: str) -> list[str]:
    """The options of a configuration group."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def _missing_key(error: BaseException) -> str | None:
    """The key that Hydra or OmegaConf could not find, if that is what went wrong."""
    if isinstance(error, ConfigCompositionException):
        match = re.search(r"Could not override '([^']+)'", str(error))
        return _key(match.group(1)) if match else None
    return None


def _key(override: str) -> str:
    return override.lstrip("+~").split("=", 1)[0]


def _valid_keys(overrides: Sequence[str], name: str) -> Iterator[str]:
    """Every key that can be overridden, given the overrides that could be composed."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        try:
            config = hydra.compose(name, list(overrides))
        except Exception:  # another override is wrong too: the defaults still give useful names
            config = hydra.compose(name)
    yield from _flatten(OmegaConf.to_container(config), "")
    yield from sorted(_groups())


def _flatten(node: Any, prefix: str) -> Iterator[str]:
    if prefix:
        yield prefix
    if isinstance(node, dict):
        for key, value in node.items():
            if str(key).startswith("_"):
                continue
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))


def _nearest(key: str, valid: Sequence[str]) -> str:
    """`did you mean ...`: alike as a whole, or in the last part, wherever that stands; else what there is."""
    last = key.rsplit(".", 1)[-1]
    others = [k for k in valid if not key.startswith(f"{k}.")]
    alike = difflib.get_close_matches(key, others, 3, 0.7)
    alike += [k for k in others if k.rsplit(".", 1)[-1] == last and k not in alike]
    ends = {k.rsplit(".", 1)[-1]: k for k in reversed(others)}
    alike += [ends[e] for e in difflib.get_close_matches(last, list(ends), 3, 0.7) if ends[e] not in alike]
    if alike:
        return f"did you mean {' or '.join(list(dict.fromkeys(alike))[:3])}?"
    return _existing(key, valid)


def _existing(key: str, valid: Sequence[str]) -> str:
    """The options beside a key that there is not: those of the innermost node around it that there is."""
    around = [key[: dot.start()] for dot in re.finditer(r"\.", key)]
    node = next((name for name in reversed(around) if name in valid), "")
    depth = len(node) + 1 if node else 0
    beside = dict.fromkeys(k[depth:] for k in valid if k.rpartition(".")[0] == node)
    if node and not beside:
        return f"{node} is one value: give {node}=..."
    return f"{node + ' has' if node else 'there are'} {', '.join(beside)}"
