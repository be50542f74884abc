"""What makes two configurations the same, and what makes them the same but for their seed."""

import hashlib
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Where a run's files and words go decides not a bit of it.
ELSEWHERE = ("outputs", "resume", "logger", "tags", "pictures")
# How it is carried out decides bits at most, and nothing of what is learned.
EXECUTION = ("resume_points", "threads")


def fingerprint(config: DictConfig) -> str:
    """The hash of all that decides a training's bits: configurations that share it are the same."""
    deciding = {key: value for key, value in config.items() if key not in ELSEWHERE}
    deciding["start"] = _without_place(config.get("start") or {})
    return hashlib.sha256(OmegaConf.to_yaml(OmegaConf.create(deciding), sort_keys=True).encode()).hexdigest()


def without_seed(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """All that decides what is learned, apart from the seed, as plain containers.

    Configurations for which it is equal are the same but for their seed.
    """
    plain: Any = OmegaConf.to_container(config) if isinstance(config, DictConfig) else config
    kept = {key: value for key, value in plain.items() if key not in (*ELSEWHERE, *EXECUTION, "seed")}
    for node in ("data", "training"):
        kept[node] = {key: value for key, value in kept[node].items() if key not in ("seed", "root")}
    kept["start"] = _without_place(kept.get("start") or {})
    return kept


def _without_place(start: Mapping[str, Any]) -> dict[str, Any]:
    """The node `start` without where the weights lie that it names by their digest."""
    return {key: value for key, value in start.items() if key != "run"}
