"""The configuration that a run's folder records."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from aelab.core.errors import ResumeError

# Where a run's folder keeps its configuration, and the weights that validation chose.
CONFIG, BEST = "config.yaml", "checkpoints/best.ckpt"


def settings_of(path: Path) -> DictConfig:
    """The configuration in the file at `path`, as a run composed it; ResumeError where there is none."""
    try:
        config = OmegaConf.load(path)
    except (OSError, YAMLError) as error:
        raise ResumeError(f"{path} cannot be read ({error}): restore it, or start a new run") from error
    if not isinstance(config, DictConfig):
        raise ResumeError(f"{path} holds no configuration: restore it, or start a new run")
    return config
