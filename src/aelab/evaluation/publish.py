"""The run's own trackers, told of an evaluation in the same run.

They are started with the user's credentials, so the folder says which trackers there are, and the run's id;
*where* they send is the user's to say, in conf/logger, on the command line or in the environment.
"""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from aelab.config.construct import construct
from aelab.config.folders import choices, file_of
from aelab.core.errors import RunError
from aelab.evaluation.findings import Findings
from aelab.loggers import Tracker
from aelab.runs.folder import Run, RunFolder, Status

ADDRESSES = {"project", "entity", "experiment", "tracking_uri"}


def trackers_of(run: Run, ours: DictConfig | None) -> list[Tracker[Any]]:
    """The run's trackers, not started yet; one with another address than ours is left out aloud.

    ours: the nodes of the group `logger`, with what the command line says.
    Raises RunError for a run id that is none.
    """
    folder = run.folder
    recorded = OmegaConf.to_container(run.settings).get("logger") or {}  # type: ignore[union-attr]
    if not isinstance(recorded, dict) or not all(isinstance(node, dict) for node in recorded.values()):
        raise RunError(f"the loggers of {folder.config} are none of a run's: evaluate it with trackers=false")
    if not recorded:
        return []
    if folder.status is Status.RUNNING:
        print("warning: the run is still under way, and its trackers are not told", file=sys.stderr)
        return []
    if (run_id := folder.read().get("run_id")) is None:
        raise RunError(
            f"{folder.record} has no usable run_id, by which trackers know the run: evaluate it with "
            "trackers=false"
        )
    identity = {"folder": folder.path, "name": run.settings.name, "run_id": run_id}
    chosen: dict[str, Any] = {} if ours is None else OmegaConf.to_container(ours)  # type: ignore[assignment]
    return [construct(node, f"logger.{name}")(**identity) for name, node in _nodes(recorded, chosen)]


def _nodes(
    recorded: Mapping[str, dict[str, Any]], ours: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the command line says, else what is recorded; addresses and parts are ours alone."""
    for name, theirs in recorded.items():
        if name not in ours or name not in choices("logger"):
            print(f"warning: {name[:40]!r} is not told: it is none of logger={sorted(ours)}", file=sys.stderr)
            continue
        default = {"logger": OmegaConf.load(file_of(f"logger/{name}"))}
        shipped: Any = OmegaConf.to_container(OmegaConf.create(default), resolve=True)
        differing = [key for key in ours[name] if key in ADDRESSES and theirs.get(key) != ours[name][key]]
        if differing:
            key = differing[0]
            print(
                f"warning: logger.{name} is not told: the folder names {key}={str(theirs.get(key))[:100]!r} "
                f"and you {ours[name][key]!r}; logger.{name}.{key}=... tells it there",
                file=sys.stderr,
            )
            continue
        kept = {key for key in theirs if not key.startswith("_") and key not in ADDRESSES}
        merged = {
            key: theirs[key] if key in kept and value == shipped["logger"].get(key) else value
            for key, value in ours[name].items()
        }
        yield name, merged


def tell(trackers: Sequence[Tracker[Any]], folder: RunFolder, suite: str, findings: Findings) -> list[str]:
    """Give estimates, figures and tables to trackers, and close them as the run ended; what they suggest."""
    step, code = _ending(folder)
    values = {f"evaluation/{suite}/{name}": found.value for name, found in findings.estimates.items()}
    for tracker in trackers:
        tracker.log_metrics(values, step)
        # A figure and a table may be called alike, and a tracker knows one type of each name.
        for path in findings.figures:
            told = f"evaluation, suite {suite}"
            tracker.log_picture(f"evaluation/{suite}/figures/{path.stem}", path, step, told)
        for path in findings.tables:
            tracker.log_table(f"evaluation/{suite}/tables/{path.stem}", *_table(path))
        for name, why in findings.alarms.items():
            tracker.alert(name, why)
        tracker.finish(code)
    return [hint for tracker in trackers if (hint := tracker.hint())]


def _table(path: Path) -> tuple[list[str], list[list[float | str]]]:
    """The head and the rows of a table's file, with numbers as numbers where a whole column is of them."""
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    columns = [_numbers(column) for column in zip(*rows, strict=True)]
    return head, [list(row) for row in zip(*columns, strict=True)]


def _numbers(column: Sequence[str]) -> list[float] | list[str]:
    try:
        return [float(cell) for cell in column]
    except ValueError:
        return list(column)


def _ending(folder: RunFolder) -> tuple[int, int]:
    """The run's last step, and an exit status that is 0 for a finished run alone."""
    record = folder.read()
    step, code = (record.get(name) for name in ("steps", "exit_code"))
    failed = code if isinstance(code, int) and 0 < code < 256 else 1
    return (
        step if isinstance(step, int) and 0 <= step < 2**63 else 0,
        0 if folder.status is Status.FINISHED else failed,
    )
