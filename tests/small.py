"""The overrides of a training, and of an evaluation, that take a second; runs that are altered whole."""

from omegaconf import DictConfig, OmegaConf

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


def rewrite(folder: RunFolder, config: DictConfig) -> RunFolder:
    """Give a run another configuration, and its weights the fingerprint of it, as a forger would."""
    OmegaConf.save(config, folder.config)
    path = folder.checkpoints / "best.ckpt"
    checkpoint = load(path)
    checkpoint["callbacks"][ResumePoints.__qualname__]["fingerprint"] = fingerprint(config)
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    return folder
