"""Trained runs in the browser."""

import socket
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from aelab.cli.explorer.explorer import Explorer
from aelab.cli.explorer.shelf import Shelf
from aelab.core.errors import ConfigurationError
from aelab.evaluation.subject import Subject
from aelab.runs.data import data_of
from aelab.runs.find import runs_of
from aelab.runs.folder import Run
from aelab.runs.trained import load

HERE = ("127.0.0.1", "localhost", "::1")


def main(config: DictConfig) -> None:
    """Serve the page until it is interrupted.

    Raises RunError for what is no run, ConfigurationError where gradio is missing, the port is taken, or
    runs are of different data.
    """
    try:
        import gradio as gr
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        from aelab.cli.explorer.page import LOOK, page
    except ImportError as error:
        raise ConfigurationError("exploring needs gradio: pip install --editable '.[ui]'") from error
    runs = [Run.open(path) for path in runs_of(config.run, config.runs)]
    _check_same_data(runs)
    names = (f"{run.settings.name}, {run.folder.path.name}" for run in runs)
    paths = dict(zip(names, (run.folder.path for run in runs), strict=True))
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    blocks = page(Shelf(paths, lambda path: explorer_of(path, config)))
    _, address, _ = blocks.launch(
        server_name=config.host,
        server_port=free_port(config.host, config.port),
        inbrowser=config.open,
        theme=theme,
        css=LOOK,
        share=False,
        footer_links=[],
        quiet=True,
        prevent_thread_lock=True,
        app_kwargs={"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=answered(config.host))]},
    )
    print(f"open {address} in a browser; ctrl-c ends it", flush=True)
    blocks.block_thread()


def answered(host: str) -> list[str]:
    """The names under which the page may be asked for: else another site's page could, by a name of its own.

    Served to a network, which is the user's choice, it has names that are not known here.
    """
    return [*HERE] if host in HERE else ["*"]


def _check_same_data(runs: Sequence[Run]) -> None:
    data = {
        repr((_data(run), run.folder.read().get("data", {}).get("checksums"))): _data(run) for run in runs
    }
    if len(data) > 1:
        raise ConfigurationError(
            f"runs side by side share their data, and these are of {' and '.join(data.values())}: choose one"
        )


def _data(run: Run) -> str:
    return f"{run.settings.data.name} {list(run.settings.data.shape)}"


def explorer_of(path: Path, config: DictConfig) -> Explorer:
    """A run's model, with its test images."""
    trained = load(path, config.device)
    run = trained.run
    data = data_of(run, config.data.root)
    name = f"{run.settings.name}, {run.folder.path.name}"
    return Explorer(Subject(trained.model, data, name, int(run.settings.seed), trained.device), trained)


def free_port(host: str, port: int) -> int:
    """The port, or any free one for 0; ConfigurationError where none can be had."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"host={host} port={port} cannot be served ({reason}): give another, or port=0"
            ) from error
        return int(attempt.getsockname()[1])
