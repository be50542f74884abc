"""The trials of a study as jobs of Hydra: overrides parsed, configurations composed, trainings run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.singleton import Singleton
from hydra.core.utils import run_job
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aelab.config.compose import checked
from aelab.config.mistakes import explain
from aelab.core.errors import ConfigurationError


@dataclass(frozen=True)
class HydraJobs:
    """The jobs of one sweep; config: the sweep's own, without the varied parameters."""

    context: HydraContext
    config: DictConfig
    task: TaskFunction

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """The overrides as Hydra's objects."""
        return OverridesParser.create(self.context.config_loader).parse_overrides(list(overrides))

    def settings(self, group: str) -> dict[str, Any]:
        """A group of the sweep's own configuration, resolved, as plain values."""
        plain: Any = OmegaConf.to_container(OmegaConf.create({group: self.config[group]}), resolve=True)
        return plain[group]

    @property
    def hydra_overrides(self) -> tuple[str, ...]:
        """The overrides of Hydra's own options, which hold for a trial too."""
        return tuple(o for o in self.config.hydra.overrides.hydra if not o.startswith("hydra.mode="))

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a trial; ConfigurationError where it cannot be composed."""
        state = Singleton.get_state()
        try:
            config = self.load(overrides)
            HydraConfig.instance().set_config(config)
            return checked(config)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigurationError(explain(error, overrides)) from error
        finally:
            Singleton.set_state(state)

    def run(self, overrides: Sequence[str], number: int) -> None:
        """Run the training of the trial of this number; raises what the training raises."""
        config = self.load(overrides)
        config.hydra.job.id, config.hydra.job.num = str(number), number
        done = run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=config,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
        )
        _ = done.return_value  # raises what ended the job

    def load(self, overrides: Sequence[str]) -> DictConfig:
        """All that a trial's overrides compose, unresolved and unchecked."""
        # A study of an experiment or of `sweep=tpe` is a multirun without -m, and so are its trials.
        every = ["hydra.mode=MULTIRUN", *overrides]
        config = self.context.config_loader.load_sweep_config(self.config, every)
        OmegaConf.set_struct(config.hydra, False)
        return config
