"""Alarms while training against critics: samples that are all alike, and critics that teach nothing."""

from collections.abc import Callable, Iterator, Mapping

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from aelab.core.records import Batch
from aelab.core.seeds import seed_generators, step_seed
from aelab.metrics.generation import DIVERSITY, diversity
from aelab.training.adversarial import Adversarial
from aelab.training.callbacks.alarms import raise_alarm

ALIKE = 0.5  # times the distance between observations: samples that are nearer to one another have collapsed
SURE = 0.999  # how often a critic scores a true one above another where it has stopped to teach
RATIO = 1000  # of the model's loss to the critic's, above which the critic has won
VANISHED, EXPLODED = 1e-6, 1e6  # norms of the model's gradient
COUNT = 200  # samples, and validation observations that they are held against

Alarms = dict[str, str]


class CriticAlarms(Callback):
    """Measures the diversity of samples after a validation and after the test, and logs after a validation,
    under `alarm/`, 1 for each alarm that stands.

    An alarm is printed once until it is mended. record: keeps one that is raised, by its name.
    """

    def __init__(self, record: Callable[[Alarms], None]) -> None:
        self.record = record
        self.standing: set[str] = set()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(pl_module, Adversarial) or trainer.sanity_checking:
            return
        spread = _measure(pl_module, "val", trainer.datamodule.val_examples(COUNT))  # type: ignore[attr-defined]
        if not trainer.is_global_zero:
            return
        found = dict(_alarms(pl_module.means, spread))
        pl_module.log_values({f"alarm/{name}": 1.0 for name in found})
        for name in sorted(found.keys() - self.standing):
            raise_alarm(trainer, name, found[name])
            self.record({name: f"after step {trainer.global_step} {found[name]}"})
        self.standing = set(found)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if isinstance(pl_module, Adversarial):
            _measure(pl_module, "test", trainer.datamodule.test_examples(COUNT))  # type: ignore[attr-defined]


@torch.no_grad()
def _measure(module: Adversarial, stage: str, examples: Batch) -> float | None:
    """The diversity of samples, which is logged; None for a model without a prior."""
    if DIVERSITY not in module.of_samples:
        return None
    model = module.model
    examples = examples.map(lambda value: value.to(module.device))
    seed_generators(step_seed(module.seed, "diversity"), module.device)
    given = None if model.conditioner is None else examples
    samples = model.sample(len(examples.x), given)
    spread = diversity(examples.x.flatten(1), samples.flatten(1)).value
    module.log_measured(stage, {DIVERSITY: spread})
    return spread


def _alarms(means: Mapping[str, float], spread: float | None) -> Iterator[tuple[str, str]]:
    """Those that a window of training and the diversity of samples raise, by name, with what may help."""
    if spread is not None and spread < ALIKE:
        yield (
            "collapse",
            f"samples lie {spread:.2g} times as far from one another as observations do: a critic/penalty, "
            "as r1, or critic.network.deviation=true may help",
        )
    for name, value in means.items():
        critic, _, reading = name.removeprefix("critic_").rpartition("_")
        if reading == "separation" and value > SURE:
            yield (
                f"saturated_{critic}",
                f"the critic {critic} scores a true one above another {value:.2%} of the time, and teaches "
                "little: a critic/penalty, or a lower learning rate of the critics may help",
            )
        if reading == "advantage" and value > RATIO / (1 + RATIO):
            yield (
                f"loss_ratio_{critic}",
                f"the model pays more than {RATIO} times what the critic {critic} does: a critic/penalty, a "
                "critic of fewer weights, or a lower learning rate of the critics may help",
            )
    gradient = means.get("gradient", 1.0)
    if not VANISHED < gradient < EXPLODED:
        yield "gradient", f"the norm of the model's gradient is {gradient:.2g}: try another critic/loss"
