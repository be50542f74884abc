"""The overrides of a training, and of an evaluation, that take a second; runs that are altered whole."""

from collections.abc import Iterable
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from aelab.config.folders import choices
from aelab.config.identity import fingerprint
from aelab.runs.folder import RunFolder
from aelab.training.callbacks.resume import ResumePoints
from aelab.training.checkpoint_io import AtomicCheckpointIO
from aelab.training.checkpoints import load

SMALL = [
    "logger=[]",
    "threads=1",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=3",
    "model.encoder.widths=[16]",
    "model.decoder.widths=[16]",
]

# Models without an encoder.
GANS = {
    "gan", "dcgan", "lsgan", "hinge_gan", "wgan_gp", "r1_gan", "began", "cgan", "projection_cgan", "acgan",
    "info_gan",
}  # fmt: skip
# Variants whose decoder is told the label.
TOLD = {"cvae", "cgan", "projection_cgan", "acgan"}
# Variants that need parts of another run.
OF_A_RUN = {"dec", "gan_inversion", "m1_m2", "prior_of"}


def small(variant: str = "vae", network: str | None = None, **others: str) -> list[str]:
    """Those for a choice of parts, with small layers where the network leaves their widths open."""
    wide = (network or ("dcgan" if variant == "dcgan" else "mlp")) in {"mlp", "mlp_normalised", "gated_mlp"}
    return [o for o in SMALL if "model" not in o or (wide and not (variant in GANS and "encoder" in o))]


TINY = [
    "device=cpu",
    "threads=1",
    *(
        f"suite.parts.{option}"
        for option in (
            "likelihood.samples=20",
            "likelihood.images=50",
            "likelihood.codes=50",
            "likelihood.aggregate=100",
            "reconstruction.images=50",
            "generation.count=100",
            "generation.train=200",
            "generation_mixture.count=100",
            "generation_mixture.train=200",
            "generation_mixture.sampler.components=2",
            "generation_mixture.sampler.images=200",
            "representation.train=300",
            "representation.test=100",
            "representation.draws=2",
            "representation.shown=50",
            "representation.tsne=false",
            "interpretability.dimensions=4",
            "interpretability.columns=3",
            "interpretability.pairs=2",
            "interpretability.images=100",
            "stability.images=50",
            "stability.repeats=2",
        )
    ),
]

OF_TOKENS = {
    "lm", "text_vae", "recurrent", "gru", "lstm", "untold", "tokens", "transformer", "dilated",
}  # fmt: skip
OF_COUNTS = {"count_vae", "poisson", "negative_binomial", "zero_inflated", "mlp_of_counts", "counts"}
OF_TABLES = {"tvae", "columns", "mlp_of_columns"}
OF_WAVES = {
    "speech_vae", "vae_rnn", "vrnn", "wavenet_vae", "waveform_rvq", "conv_1d", "gru_frames", "frames",
    "wavenet", "discretized_logistic_mixture_16_bits",
}  # fmt: skip
"""The choices that are of sequences of tokens, of counts, of tables, or of sounds alone."""
OF_OTHERS = OF_TOKENS | OF_COUNTS | OF_TABLES | OF_WAVES | OF_A_RUN


def of_numbers(group: str) -> list[str]:
    """The choices of a group that are of images, and mostly of vectors too, and whole without another run."""
    return [choice for choice in choices(group) if choice not in OF_OTHERS]


PARTS = (
    "likelihood",
    "reconstruction",
    "generation",
    "generation_mixture",
    "representation",
    "disentanglement",
    "interpretability",
    "stability",
)


def only(*parts: str) -> list[str]:
    """The overrides that leave all other parts out of a suite."""
    return [f"suite.parts.{name}=null" for name in PARTS if name not in parts]


def few_quick(values: Iterable[Any], every: int = 4) -> list[Any]:
    """Parameters of a test, of which one in `every` is quick and the others are among the long tests."""
    slow = [pytest.mark.slow]
    return [pytest.param(value, marks=slow if i % every else []) for i, value in enumerate(values)]


def rewrite(folder: RunFolder, config: DictConfig) -> RunFolder:
    """Give a run another configuration, and its weights the fingerprint of it, as a forger would."""
    OmegaConf.save(config, folder.config)
    folder.seal(folder.config)
    path = folder.checkpoints / "best.ckpt"
    checkpoint = load(path)
    checkpoint["callbacks"][ResumePoints.__qualname__]["fingerprint"] = fingerprint(config)
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    return folder
