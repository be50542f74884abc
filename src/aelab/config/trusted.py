"""What the configuration of a run's folder may name: the folder is data, and may come from anywhere."""

from collections.abc import Container, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from aelab.core.errors import RunError
from aelab.core.paths import conf_dir
from aelab.core.text import sentence

NAME = ""  # the key of the names of a node among its leaves
OPTIONS = {"_target_", "_partial_", "_convert_"}  # of a node; Hydra's others give arguments without a name
NEEDED: dict[str, type] = {"name": str, "seed": int, "data": dict, "model": dict, "training": dict}


def trusted_settings(path: Path, conf: Path | None = None) -> DictConfig:
    """The recorded configuration of a run, if it names nothing to be built but the parts listed in conf/.

    conf: the conf/ of the code that will build them; None: the running code's.

    The names are compared whole: a part of the project would lead to all that it imports.
    Raises RunError where there is none, it cannot be read, names other things, hands over arguments that have
    no name to be looked at by, or interpolates, which could read the environment.
    """
    config, plain = _recorded(path)
    listed = parts(conf)
    for key, value in _leaves(plain):
        if why := _wrong(key, value, listed):
            raise RunError(f"{path} {why}")
    return config


def _recorded(path: Path) -> tuple[DictConfig, dict[Any, Any]]:
    """The configuration, and the same as plain containers."""
    try:
        config = OmegaConf.load(path)
        plain = OmegaConf.to_container(config, resolve=False)
    except (OSError, YAMLError, ValueError, RecursionError) as error:
        reason = sentence(error)
        raise RunError(f"{path} cannot be read ({reason}): give a run as it was recorded") from error
    if not isinstance(config, DictConfig) or not isinstance(plain, dict):
        raise RunError(f"{path} holds no configuration of a run: give one as it was recorded")
    odd = [key for key, kind in NEEDED.items() if type(plain.get(key)) is not kind]
    if odd:
        raise RunError(
            f"{path} holds no configuration of a run ({', '.join(odd)}: missing, or not what a run "
            "records): give one as it was recorded"
        )
    return config, plain


def _wrong(key: str, value: Any, listed: Container[str]) -> str | None:
    """Why a leaf is not trusted; None for one that is."""
    if key == "_target_" and not (isinstance(value, str) and value in listed):
        return (
            f"names {value!r}, which is no part that conf/ lists, and nothing of it was built: give a run of "
            "the project's own parts, or list the part in a file under conf/"
        )
    if key == NAME and str(value).startswith("_") and value not in OPTIONS:
        return f"has an option {value!r}, which conf/ gives to no part: give a run as it was recorded"
    if isinstance(value, str) and "${" in value:
        return f"is not resolved: {key} is {value!r}; give a run as it was recorded"
    return None


def published_mirrors(data: DictConfig, conf: Path | None = None) -> list[str]:
    """Where the files of a data set are downloaded from, by its file under conf/data; none for one's own.

    conf: as in `trusted_settings`.

    The recorded addresses are not asked: a request tells who asks, and its answer is read by parsers.
    """
    files = {path.stem: path for path in ((conf or conf_dir()) / "data").glob("*.yaml")}
    if data.get("name") not in files:
        return []
    shipped = OmegaConf.load(files[data.name])
    return list(OmegaConf.select(shipped, "source.mirrors") or [])


@cache
def parts(conf: Path | None = None) -> frozenset[str]:
    """The `_target_`s of all files under conf/, the running code's or another's."""
    files = (
        OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        for path in (conf or conf_dir()).rglob("*.yaml")
    )
    return frozenset(value for file in files for key, value in _leaves(file) if key == "_target_")


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Values and what they are called, and the names themselves, which are called `NAME`."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield NAME, name
            if name == "_target_":
                yield name, value
            else:
                yield from _leaves(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, key)
    else:
        yield key, node
