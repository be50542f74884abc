"""The data of a recorded run: where the user says, or where conf/ does, and compared with the record."""

from copy import deepcopy
from pathlib import Path

from omegaconf import DictConfig

from aelab.config.construct import construct_recorded
from aelab.config.trusted import published_mirrors
from aelab.core.errors import ConfigurationError, DataError, RunError
from aelab.core.paths import from_user
from aelab.data.module import DataModule
from aelab.runs.folder import Run

# Options of data that say how a training reads them, not what they are.
OF_A_TRAINING = (
    "root",
    "source",
    "batch_size",
    "eval_batch_size",
    "seed",
    "labelled",
    "labelled_seed",
    "labelled_share",
)


def placed(settings: DictConfig, root: str | None = None, conf: Path | None = None) -> DictConfig:
    """The configuration of a run with its data at `root`, where that is given.

    Missing files are downloaded from where conf/data says, whatever the run's folder does. conf: of the code
    that will read them; None: the running code's.
    Raises DataError for a root of data that have none.
    """
    settings = deepcopy(settings)
    data = settings.data
    if root is not None:
        if "root" not in data:
            raise DataError(
                f"data.root={root}: {data.get('name')} is read from no files, and has no root: leave it out"
            )
        data.root = str(from_user(root).resolve())
    source = data.get("source")
    if isinstance(source, DictConfig) and "mirrors" in source:
        source.mirrors = published_mirrors(data, conf)
    return settings


def opened(settings: DictConfig) -> DataModule:
    """The data of a configuration that `placed` returned, read.

    Raises DataError where they are missing or damaged, or `data` describes none.
    """
    data = construct_recorded(settings.data, "data")
    if not isinstance(data, DataModule):
        raise DataError("config.yaml describes no data as its data: give a run as it was recorded")
    data.prepare_data()
    data.setup()
    return data


def data_of(run: Run, root: str | None = None) -> DataModule:
    """The data of a run, at `root` if that is given.

    Raises RunError for others than it was trained on, and DataError as `placed` and `opened` do.
    """
    data = opened(placed(run.settings, root))
    check_same(run, data)
    return data


def check_same(run: Run, data: DataModule) -> None:
    """RunError for other data than a run was trained on, or a record that has none."""
    known = run.folder.read().get("data", {})
    if not isinstance(known, dict):
        raise RunError(f"{run.folder.record} has no data of a run under `data`: restore it")
    checksums = known.get("checksums", data.checksums)
    if checksums != data.checksums:
        raise RunError(
            f"the data at hand are not those that {run.folder.path} was trained on (checksums "
            f"{data.checksums}, recorded {checksums}): give the same with data.root=FOLDER"
        )
    counts = known.get("observations", data.counts)
    if counts != data.counts:
        raise RunError(
            f"the data at hand are not those that {run.folder.path} was trained on (observations "
            f"{data.counts}, recorded {counts}): restore the files"
        )


def check_same_data(settings: DictConfig, data: DataModule) -> None:
    """Raise ConfigurationError for other data than those of `start.run`, or for others of their splits."""
    run = Run.open(Path(settings.start.run))
    for key, theirs in run.settings.data.items():
        ours = settings.data.get(key)
        if key not in OF_A_TRAINING and ours != theirs:
            raise ConfigurationError(
                f"data.{key} is {theirs} in {run.folder.path}, and {ours} here: a second stage is of the "
                "codes of the same data, so give the same"
            )
    known = run.folder.read().get("data") or {}
    if known.get("checksums", data.checksums) != data.checksums:
        raise ConfigurationError(
            f"the data at hand have other checksums than those that {run.folder.path} was trained on: a "
            "second stage is of the codes of the same data, so give the same with data.root=FOLDER"
        )
