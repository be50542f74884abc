"""pythae 0.1.2 with networks of the same layers and its own trainer; imported only where installed."""

from tempfile import TemporaryDirectory
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

from benchmarks.hand import LEARNING_RATE, Case, Stopwatch, pixels, warmup


class _Encoder(BaseEncoder):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        loc, log_variance = self.network(x).chunk(2, -1)
        return ModelOutput(embedding=loc, log_covariance=log_variance)


class _Decoder(BaseDecoder):
    """pythae takes the cross-entropy of probabilities, not of logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> Any:
        return ModelOutput(reconstruction=self.network(z).sigmoid())


class _Span(TrainingCallback):
    """Calls the stopwatch at the end of the last step of the warm-up and `steps` later."""

    def __init__(self, steps: int, watch: Stopwatch) -> None:
        first = warmup(steps)
        self.done, self.moments, self.watch = 0, (first, first + steps), watch

    def on_train_step_end(self, training_config: BaseTrainerConfig, **kwargs: Any) -> None:
        self.done += 1
        if self.done in self.moments:
            self.watch()


def pythae(case: Case, steps: int) -> float:
    """One epoch of pythae's BaseTrainer as it comes: its data set and loader, its Adam, no evaluation."""
    watch = Stopwatch()
    with TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            model_of(case),
            _data(case, warmup(steps) + steps),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=1,
                learning_rate=LEARNING_RATE,
                per_device_train_batch_size=case.batch_size,
                no_cuda=True,
            ),
            callbacks=[_Span(steps, watch)],
        )
        trainer.train()
    return watch.seconds(steps)


def model_of(case: Case) -> VAE:
    """pythae's VAE with the networks of a case."""
    encoder, decoder = case.networks()
    config = VAEConfig(input_dim=case.event, reconstruction_loss="bce")
    return VAE(config, _Encoder(encoder), _Decoder(decoder))


def _data(case: Case, steps: int) -> BaseDataset:
    count = steps * case.batch_size
    return BaseDataset(pixels(count).reshape(-1, *case.event) / 255, torch.zeros(count))
