"""Which options of a configuration decide something."""

import hashlib
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Where a run's files and words go decides not a bit of it.
ELSEWHERE = ("outputs", "resume", "logger", "tags", "pictures")
# How it is carried out decides bits at most, and nothing of what is learned.
EXECUTION = ("resume_points", "threads")


def without_seed(settings: DictConfig) -> dict[str, Any]:
    """All of a configuration that decides what is learned, apart from the run's seed."""
    plain: Any = OmegaConf.to_container(settings)
    return deciding(plain)


def deciding(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a configuration that was read as plain containers."""
    kept = {key: value for key, value in plain.items() if key not in (*ELSEWHERE, *EXECUTION, "seed")}
    for node in ("data", "training"):
        kept[node] = {k: v for k, v in kept[node].items() if k not in ("seed", "root")}
    kept["start"] = without_place(kept.get("start") or {})
    return {**kept, "data": without_idle_folds(kept["data"])}


def without_idle_folds(data: Mapping[str, Any]) -> dict[str, Any]:
    """The node `data` as runs have it that are older than folds, where none are asked for."""
    idle = data.get("folds") is None
    return {key: value for key, value in data.items() if not idle or key not in ("folds", "fold")}


def without_place(start: Mapping[str, Any]) -> dict[str, Any]:
    """The node `start` without where the weights lie that it names by their digest."""
    return {key: value for key, value in start.items() if key != "run"}


def fingerprint(config: DictConfig) -> str:
    """A hash of all that decides a training's bits."""
    deciding = {k: v for k, v in config.items() if k not in ELSEWHERE}
    deciding["data"] = without_idle_folds(config.data)
    deciding["start"] = without_place(config.get("start") or {})
    return hashlib.sha256(OmegaConf.to_yaml(OmegaConf.create(deciding), sort_keys=True).encode()).hexdigest()
