"""One run and its folder: the source of truth, of which every tracker is only a view."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from glob import glob
from pathlib import Path
from typing import Any, Self

from omegaconf import DictConfig

from aelab.cluster.processes import alive, this_process
from aelab.config.identity import fingerprint
from aelab.config.recorded import BEST, CONFIG, NUMBER, recorded_facts
from aelab.config.trusted import trusted_settings
from aelab.core.checks import is_number
from aelab.core.errors import ConfigurationError, ResumeError, RunError
from aelab.core.files import folder_name, new_folder, overwrite_sealed, write_sealed
from aelab.core.paths import from_user
from aelab.core.untrusted import check_folder, sealed_object, sha256_of


class Status(StrEnum):
    """Where a run stands; `KILLED` by a signal, which a run may have had no time to record.

    `PRUNED` by a study that had seen enough of it.
    """

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"
    PRUNED = "pruned"


SEALED = (CONFIG, "changes.patch", "metrics.jsonl")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run, written by one process (rank zero) at a time.

    path: the folder; `create` makes a new one and `open` finds an existing one.
    """

    path: Path

    @classmethod
    def create(cls, root: Path, name: str) -> Self:
        """Make `root/name/YYYY-MM-DD_HH-MM-SS` (local time) for a run of this process.

        Two runs never share a folder, however quickly they start: the second takes the suffix -1, and so on.
        Characters of `name` that do not belong in a folder's name become dashes.

        Raises:
            ConfigurationError: `root` cannot be written, or `name` has neither letter nor digit.
        """
        parent = from_user(root).resolve() / folder_name(name)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            run = cls(new_folder(parent))
            for folder in (run.checkpoints, run.pictures, run.trackers):
                folder.mkdir()
            run.update(status=Status.RUNNING, process=this_process())
        except OSError as error:
            raise ConfigurationError(
                f"The run's folder cannot be made in {parent} ({error.strerror}): choose a writable folder."
            ) from error
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """The existing run at `path`, which may come from anywhere.

        Raises:
            RunError: `path` is no run's folder; for a folder of runs, or a pattern, one is named. Or it
                holds links, through which something else would be written.
        """
        run = cls(from_user(path).resolve())
        if not run.record.is_file():
            below = next(_records_below(run.path), None)
            fit = "one that a run made" if below is None else f"a single one, as {below.parent}"
            raise RunError(f"{path} is no run folder (it has no record.json): give {fit}.")
        check_folder(run.path)
        return run

    @classmethod
    def named(cls, root: Path, name: str) -> list[Self]:
        """The runs that `create` made of this root and name, the newest first."""
        made = (from_user(root).resolve() / folder_name(name)).glob("*/record.json")
        return [cls(record.parent) for record in sorted(made, reverse=True)]

    @property
    def config(self) -> Path:
        """The composed configuration, resolved."""
        return self.path / CONFIG

    @property
    def record(self) -> Path:
        """What is known of the run: status, process, and all that `update` was given."""
        return self.path / "record.json"

    @property
    def metrics(self) -> Path:
        """The run's metrics, one JSON object a line; only what the seed determines."""
        return self.path / "metrics.jsonl"

    @property
    def timing(self) -> Path:
        """The run's `time/` metrics, which differ from one execution to the next."""
        return self.path / "timing.jsonl"

    @property
    def patch(self) -> Path:
        """The changes of the source tree against its commit."""
        return self.path / "changes.patch"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint with the weights that validation chose."""
        return self.path / BEST

    @property
    def start(self) -> Path:
        """The checkpoint of another run whose weights this one started from, where it did."""
        return self.checkpoints / "start.ckpt"

    @property
    def pictures(self) -> Path:
        """The folder of image files."""
        return self.path / "pictures"

    @property
    def evaluations(self) -> Path:
        """What evaluations found, by suite."""
        return self.path / "evaluation.json"

    def evaluation(self, suite: str) -> Path:
        """The folder of a suite's tables and figures."""
        return self.path / "evaluation" / folder_name(suite)

    @property
    def trackers(self) -> Path:
        """The folder in which trackers keep their own files."""
        return self.path / "trackers"

    def read(self) -> dict[str, Any]:
        """The record.

        Raises:
            RunError: record.json is damaged, or has what no run writes.
        """
        return recorded_facts(self.record)

    def update(self, **fields: Any) -> None:
        """Merge `fields` into the record, top level only; NaN and infinities become null.

        A reader, and a process killed at any point, sees the record before or after, never between.
        """
        write_sealed(self.record, (self.read() if self.record.exists() else {}) | fields)

    def end(self, status: Status, **fields: Any) -> None:
        """Record how the run ended, and seal its journal; the status alone, in place, on a full disk.

        Raises OSError in that case; a run that could not record what it found has failed.
        """
        try:
            self.update(status=status, **fields)
            self.seal(self.metrics)
        except OSError:
            failed = Status.FAILED if status is Status.FINISHED else status
            overwrite_sealed(self.record, self.read() | {"status": failed})
            raise

    def seal(self, *paths: Path) -> None:
        """Put digests of files of the run that are there, by name, into its record, beside those before."""
        seals = {path.name: sha256_of(path) for path in paths if path.exists()}
        self.update(files=self.read().get("files", {}) | seals)

    def check_seals(self) -> None:
        """RunError for a file that is not what the run has sealed."""
        for name, digest in self.read().get("files", {}).items():
            path = self.path / name
            if name in SEALED and path.exists() and sha256_of(path) != digest:
                raise RunError(f"{path} was changed since the run wrote it: restore it")

    def read_evaluations(self) -> dict[str, Any]:
        """What evaluations found, by suite; empty before the first.

        Raises:
            RunError: evaluation.json is damaged.
        """
        return sealed_object(self.evaluations) if self.evaluations.exists() else {}

    def suite(self, name: str) -> dict[str, Any]:
        """What one suite found; empty before it was evaluated.

        Raises:
            RunError: evaluation.json is damaged, or the suite's entry in it is no object.
        """
        found = self.read_evaluations().get(name, {})
        if not isinstance(found, dict):
            raise RunError(f"{self.evaluations} holds no object for suite={name}: evaluate the run again")
        return found

    def estimates(self, name: str) -> dict[str, float]:
        """The values that one suite found, by estimate; those that were not finite are left out.

        Raises:
            RunError: evaluation.json is damaged, or the suite's estimates in it are no numbers.
        """
        found = self.suite(name).get("estimates", {})
        entries = found.values() if isinstance(found, dict) else [found]
        if not all(isinstance(each, dict) and isinstance(each.get("value"), NUMBER) for each in entries):
            raise RunError(
                f"{self.evaluations} holds estimates of suite={name} that are no numbers: evaluate the run "
                "again"
            )
        values = {key: each.get("value") for key, each in found.items()}
        return {key: float(value) for key, value in values.items() if is_number(value)}

    def update_evaluations(self, **suites: Any) -> None:
        """Put what suites found in the place of what they found before, as `update` does."""
        write_sealed(self.evaluations, self.read_evaluations() | suites)

    def resume(self) -> None:
        """Make the run this process's own, with status `RUNNING`.

        Raises:
            ResumeError: another process is still at work on it.
        """
        process = self.read().get("process") or {}
        if self.status is Status.RUNNING and process != this_process():
            raise ResumeError(
                f"{self.path} is still being run by process {process.get('pid')} on {process.get('host')}: "
                f"wait for it or end it; if its machine is gone, write killed for running in {self.record}."
            )
        files = {k: v for k, v in self.read().get("files", {}).items() if k != self.metrics.name}
        self.update(status=Status.RUNNING, process=this_process(), files=files)

    @property
    def status(self) -> Status:
        """What the record says, or `KILLED` where it says `RUNNING` and the process is gone.

        A process of another machine cannot be looked up from here and counts as alive.

        Raises:
            RunError: the record is damaged, or its status is none of these.
        """
        record = self.read()
        status, process = record.get("status", Status.KILLED), record.get("process") or {}
        if status not in list(Status) or not isinstance(process, dict):
            raise RunError(
                f"{self.record} has the status {str(status)[:40]!r} and a process that are none of a run's: "
                f"a status is one of {', '.join(Status)}"
            )
        if status == Status.RUNNING and not alive(process):
            return Status.KILLED
        return Status(status)


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its folder, its configuration, and the fingerprint of that.

    folder: before the run begins, the one in which folders of its configuration are made.
    settings: composed and resolved.
    """

    folder: RunFolder
    settings: DictConfig
    fingerprint: str

    @classmethod
    def planned(cls, settings: DictConfig) -> Self:
        """A run of a configuration, before it has a folder of its own."""
        return cls(RunFolder(from_user(settings.outputs)), settings, fingerprint(settings))

    @classmethod
    def open(cls, path: Path, conf: Path | None = None) -> Self:
        """The run in a folder from anywhere, which is data and no code.

        Raises RunError as `RunFolder.open` and `trusted_settings` do.
        """
        folder = RunFolder.open(path)
        settings = trusted_settings(folder.config, conf)
        return cls(folder, settings, fingerprint(settings))


def _records_below(place: Path) -> Iterator[Path]:
    """Records of runs close below a folder, or below those that a pattern means."""
    near = (f"{place}/{between}record.json" for between in ("", "*/", "*/*/"))
    return (Path(found) for pattern in near for found in sorted(glob(pattern)))  # noqa: PTH207  # absolute
