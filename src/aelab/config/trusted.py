"""What the configuration of a run's folder may name: the folder is data, and may come from anywhere."""

from collections.abc import Container
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from aelab.config.folders import files, folders, own, trusted_parts
from aelab.config.recorded import NAME, leaves, read_settings, recorded_settings
from aelab.core.errors import RunError
from aelab.core.paths import conf_dir

OPTIONS = ("_target_", "_partial_")  # of a node; all else in it are arguments, by their names


def trusted_settings(path: Path, conf: Path | None = None) -> DictConfig:
    """The recorded configuration of a run, if it names nothing to be built but the parts listed in conf/.

    conf: the conf/ of the code that will build them; None: the running code's. What the user's own folders
        list, and the parts that they name themselves (`folders.searched_first`), are trusted beside it.

    The names are compared whole: a part of the project would lead to all that it imports.
    Raises RunError where there is none, it cannot be read, names other things, hands over arguments that have
    no name to be looked at by, or interpolates, which could read the environment.
    """
    config = recorded_settings(path) if conf in (None, conf_dir()) else read_settings(path)
    check_parts(OmegaConf.to_container(config, resolve=False), path, conf)
    return config


def check_parts(node: Any, where: object, conf: Path | None = None) -> None:
    """RunError for plain containers that `trusted_settings` would not trust; where: for the error."""
    listed = parts(conf)
    for key, value in leaves(node):
        if why := _wrong(key, value, listed):
            raise RunError(f"{where} {why}")


def _wrong(key: str, value: Any, listed: Container[str]) -> str | None:
    """Why a leaf is not trusted; None for one that is."""
    if key == "_target_" and not (isinstance(value, str) and value in listed):
        return (
            f"names {value!r}, which is no part that conf/ lists, and nothing of it was built: give a run of "
            "the project's own parts, name the folder whose files list the part by --config-dir, or, if you "
            "trust it, the part itself by trust=[module.Class] (in Python, conf=FOLDER and trust=[...])"
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
    searched = [folder / "data" for folder in reversed(folders(conf))]
    found = {path.stem: path for folder in searched for path in folder.glob("*.yaml")}
    if data.get("name") not in found:
        return []
    shipped = OmegaConf.load(found[data.name])
    return list(OmegaConf.select(shipped, "source.mirrors") or [])


def parts(conf: Path | None = None) -> frozenset[str]:
    """The `_target_`s of all files under conf/, the running code's or another's, and the user's own."""
    return _listed(conf, own()) | trusted_parts()


@cache
def _listed(conf: Path | None, own: tuple[Path, ...]) -> frozenset[str]:
    # Four hundred files, which OmegaConf's own reader takes .4 s for.
    read = (yaml.load(path.read_bytes(), yaml.CSafeLoader) or {} for path in files(conf))
    return frozenset(value for file in read for key, value in leaves(file) if key == "_target_")
