"""Hydra's own state, which is the whole process's and may be a host's: an application's or a notebook's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton

from aelab.core.paths import conf_dir


@contextmanager
def session() -> Iterator[None]:
    """A context in which `hydra.compose` reads the project's conf/; after it all is Hydra's as it was."""
    _ = GlobalHydra.instance(), HydraConfig.instance()
    singles: dict[Any, Any] = dict(Singleton._instances)  # Hydra puts copies in their place
    before = {single: dict(vars(single)) for single in singles.values()}
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            yield
    finally:
        Singleton._instances.update(singles)
        for single, state in before.items():
            vars(single).clear()
            vars(single).update(state)
