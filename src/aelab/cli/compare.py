"""One comparison from its configuration to its tables: on the terminal, in files, and in trackers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from aelab.comparison.base import Comparison
from aelab.comparison.compare import compare
from aelab.comparison.csv_sheets import csv_text, groups_sheet, metrics_sheet, runs_sheet, uniform
from aelab.comparison.figures import figure_files
from aelab.comparison.latex import latex
from aelab.comparison.tables import page, show
from aelab.config.construct import construct
from aelab.core.errors import ConfigurationError
from aelab.core.files import atomic
from aelab.core.paths import from_user
from aelab.core.terminal import console, from_here, result
from aelab.runs.find import named

if TYPE_CHECKING:
    from aelab.loggers import Wandb


def main(config: DictConfig) -> None:
    """Compare, print, write, and tell the trackers."""
    options: Any = OmegaConf.to_container(config)
    folder = from_user(options["to"]).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"to={folder} holds something already: choose another one")
    tracked = trackers(folder, options.get("logger") or {})
    comparison = compared(options)
    files = texts(comparison, options["alpha"])
    if options["page"]:
        from aelab.comparison.page.render import render  # Pillow and scikit-learn, which tables do without

        files["report.html"] = render(comparison)
    figures = figure_files(comparison, options["figures"], options["alpha"])
    _write(folder, {**{name: text.encode(errors="replace") for name, text in files.items()}, **figures})
    sheets = {"metrics": metrics_sheet, "groups": groups_sheet, "runs": runs_sheet}
    result(folder=str(folder), **{name: _rows(sheet(comparison)) for name, sheet in sheets.items()})
    out = console()
    show(comparison, options["alpha"], out)
    for name in files:
        out.print(f"file      {from_here(folder / name)}")
    if figures:
        out.print(f"figures   {from_here(folder / 'figures')}: {len(figures)}, for a paper")
    for tracker in tracked:
        if hint := tell(tracker, comparison):
            out.out(f"tracker   {hint}", highlight=False)


def _rows(sheet: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """The rows of a sheet by the names of its columns."""
    head, *rows = sheet
    return [dict(zip(map(str, head), row, strict=True)) for row in rows]


def compared(options: Mapping[str, Any]) -> Comparison:
    """The comparison that options of compare.yaml ask for."""
    asked = {key: None if options[key] is None else _several(options[key], key) for key in ("by", "metric")}
    return compare(
        patterns=named(options["run"], options["runs"]),
        by=asked["by"],
        metric=asked["metric"],
        baseline=None if options["baseline"] is None else str(options["baseline"]),
        alpha=options["alpha"],
        different_data=options["different_data"],
        higher_is_better=_directions(options["higher_is_better"]),
    )


def texts(comparison: Comparison, alpha: float) -> dict[str, str]:
    """The content of each file by its name."""
    return {
        "table.txt": page(comparison, alpha),
        "metrics.csv": csv_text(metrics_sheet(comparison)),
        "groups.csv": csv_text(groups_sheet(comparison)),
        "runs.csv": csv_text(runs_sheet(comparison)),
        "table.tex": latex(comparison, alpha),
    }


def trackers(folder: Path, loggers: Mapping[str, Any]) -> "list[Wandb]":
    """The trackers that are asked for; ConfigurationError for one that has no tables."""
    if not loggers:
        return []
    from aelab.loggers import Wandb, new_run_id

    identity = {"folder": folder, "name": f"comparison {folder.name}", "run_id": new_run_id()}
    made = {name: construct(node, f"logger.{name}")(**identity) for name, node in loggers.items()}
    if others := [name for name, tracker in made.items() if not isinstance(tracker, Wandb)]:
        raise ConfigurationError(f"logger={others[0]} shows no tables: choose logger=wandb, or none")
    return list(made.values())


def tell(tracker: "Wandb", comparison: Comparison) -> str | None:
    """Give the tables of metrics and of groups to a tracker, as a run of its own; what it suggests."""
    for name, sheet in {"metrics": metrics_sheet, "groups": groups_sheet}.items():
        head, *rows = sheet(comparison)
        tracker.log_table(f"comparison/{name}", head, uniform(rows))
    tracker.finish(0)
    return tracker.hint()


def _several(value: Any, option: str) -> list[str]:
    """One word or a list of words, as a list of at least one."""
    words = value if isinstance(value, list) else [value]
    if not words or not all(isinstance(word, str) and word for word in words):
        raise ConfigurationError(f"{option}={value} names nothing: give one name, or a list as [one,two]")
    return words


def _directions(given: Any) -> dict[str, bool | None]:
    if not isinstance(given, dict) or not all(v is None or isinstance(v, bool) for v in given.values()):
        raise ConfigurationError(f"higher_is_better={given}: give true, false or null for each name")
    return {str(key): value for key, value in given.items()}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """All files, or none."""
    try:
        with atomic(folder) as new:
            new.mkdir()
            for name, content in files.items():
                (new / name).parent.mkdir(exist_ok=True)
                (new / name).write_bytes(content)
    except OSError as error:
        raise ConfigurationError(f"to={folder} cannot be written ({error.strerror})") from error
