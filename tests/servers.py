"""Servers on this machine: a mirror, and a stranger's address."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that prints nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Listener(Quiet):
    """Keeps in `heard` what is asked of it, with the credentials that came along."""

    heard: ClassVar[list[tuple[str, str | None]]] = []

    def answer(self) -> None:
        self.heard.append((self.path, self.headers.get("Authorization")))
        self.send_error(500)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815


def start(folder: Path, handler: type[Quiet] = Quiet) -> ThreadingHTTPServer:
    """A server of the files of a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server
