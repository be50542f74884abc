"""The members of a vectorised training: which options may differ, and what each would be if it ran alone."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from aelab.config.compose import compose
from aelab.core.checks import is_number
from aelab.core.errors import ConfigurationError
from aelab.runs.build import lightning_part
from aelab.training.loop import overrides

MAY_DIFFER = ("seed", "optimizer", "lr_schedule", "objective", "model", "training.gradient_clip_val")
# What a step or an epoch of all members at once does not do, and the value that asks for none of it.
UNSUPPORTED = {
    "training._target_": "aelab.training.standard.Standard",
    "training.accumulate_grad_batches": 1,
    "training.compile": None,
    "trainer.devices": 1,
    "trainer.num_nodes": 1,
    "trainer.max_steps": -1,
    "trainer.max_time": None,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.val_check_interval": 1.0,
}
ONLY_AT_THE_END = ("on_test", "on_save", "on_load")


def members_of(config: DictConfig, given: Sequence[str]) -> list[DictConfig]:
    """What each member would be composed to alone, in the order of the lists, the last one fastest.

    given: the overrides that the configuration was composed from.

    Raises ConfigurationError for what members may not differ in and for what is not done for many at once.
    """
    lists = _lists(config)
    if not lists:
        raise ConfigurationError(
            "trainer=vectorised needs what its members differ in: give a list, as trainer.members.seed=[0,1]"
        )
    for key, values in lists.items():
        _check_list(config, key, values)
    _check_supported(config)
    own = [o for o in given if not _is_ours(o)]
    return [
        compose([*own, *(f"{key}={value}" for key, value in zip(lists, chosen, strict=True))])
        for chosen in itertools.product(*lists.values())
    ]


def _is_ours(override: str) -> bool:
    key = override.lstrip("+").split("=", 1)[0]
    return key == "trainer" or key.startswith("trainer.members")


def _lists(config: DictConfig) -> dict[str, Any]:
    members: Any = OmegaConf.to_container(config.trainer.members)
    return dict(_flattened(members))


def _flattened(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def _check_list(config: DictConfig, key: str, values: object) -> None:
    place = f"trainer.members.{key}"
    if not any(key == root or key.startswith(f"{root}.") for root in MAY_DIFFER):
        raise ConfigurationError(
            f"{place}: members may differ in {', '.join(MAY_DIFFER)} and what is below them; vary {key} by a "
            "sweep (-m) instead"
        )
    if not (isinstance(values, list) and values and all(map(is_number, values))):
        raise ConfigurationError(f"{place}={values}: a list of numbers is expected here, as [1,2]")
    if len(set(values)) < len(values):
        raise ConfigurationError(f"{place}={values} names a value twice, and both members would be the same")
    missing = OmegaConf.select(config, key, default="missing") == "missing"
    known = None if missing else OmegaConf.select(config, key)
    if missing or not (known is None or is_number(known)):
        raise ConfigurationError(f"{place}: there is no number {key} in this composition to vary")


def _check_supported(config: DictConfig) -> None:
    for key, wanted in UNSUPPORTED.items():
        if (found := OmegaConf.select(config, key)) != wanted:
            raise ConfigurationError(
                f"trainer=vectorised does not know {key}={found}: leave it at {wanted}, or train the members "
                "one by one"
            )
    if not str(config.trainer.precision).startswith("32"):
        raise ConfigurationError(
            f"trainer=vectorised trains in single precision, not in {config.trainer.precision}"
        )
    if config.trainer.max_epochs is None or config.trainer.max_epochs < 1:
        raise ConfigurationError("trainer=vectorised needs to know its end: set trainer.max_epochs")
    for name, node in (config.get("callbacks") or {}).items():
        if steps_in := list(_hooks(lightning_part(node, f"callbacks.{name}"))):
            raise ConfigurationError(
                f"callback={name} follows each member's own loop ({steps_in[0]}), which trainer=vectorised "
                "has not: leave it out, or train the members one by one"
            )


def _hooks(callback: Any) -> Iterator[str]:
    """The hooks of its own that would not be called, or not where they expect it."""
    for name in dir(type(callback)):
        is_hook = name.startswith("on_") or name in ("setup", "teardown")
        if is_hook and not name.startswith(ONLY_AT_THE_END) and overrides(callback, name):
            yield name


def described(members: Sequence[DictConfig], config: DictConfig) -> list[str]:
    """What tells each member from the others, as `seed=1 optimizer.lr=0.01`."""
    keys = list(_lists(config))
    return [" ".join(f"{key}={OmegaConf.select(member, key)}" for key in keys) for member in members]
