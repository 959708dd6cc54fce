"""Serving the page to this machine alone."""

from __future__ import annotations

import logging
import secrets
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from dash import Dash

HOST: Final = "127.0.0.1"
_HTTP: Final = 80
#: Nothing but what this server serves; the library writes its settings and its start into the page.
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def new_token() -> str:
    """A path that nobody guesses."""
    return secrets.token_urlsafe(18)


def bound(port: int) -> socket.socket:
    """A socket of this machine's own at a port; at any free one for 0.

    Raises:
        SimulatorError: The port is taken, or may not be had.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.bind((HOST, port))
        held.listen(128)
    except OSError as error:
        held.close()
        raise SimulatorError(
            f"--port {port}: cannot listen on {HOST}:{port}: {error.strerror or error}; another port, or 0 for any"
        ) from None
    return held


def serve(app: Dash, held: socket.socket) -> Any:  # noqa: ANN401 - werkzeug's server
    """A server of the page at a socket that is bound; `serve_forever` and `shutdown` are its own."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Kept(WSGIRequestHandler):
        """Answers on a connection, and in a thread, that stay."""

        protocol_version = "HTTP/1.1"
        # An answer is sent in two pieces, of which the second would wait until the first one is acknowledged.
        disable_nagle_algorithm = True

    port = held.getsockname()[1]
    _guard(app, names_at(port))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # It has a descriptor of its own.
    with held:
        return make_server(HOST, port, app.server, threaded=True, request_handler=Kept, fd=held.fileno())


def names_at(port: int) -> set[str]:
    """What this machine is called in an address; browsers leave the protocol's own port out."""
    return {name if port == _HTTP else f"{name}:{port}" for name in (HOST, "localhost")}


def _guard(app: Dash, hosts: set[str]) -> None:
    """Answer only who asked for this machine by its name, so that no other page in the browser can."""
    from flask import abort, g, request

    def known() -> None:
        g.begun_s = time.thread_time()
        origin = request.headers.get("Origin")
        if request.host not in hosts or (origin is not None and origin.removeprefix("http://") not in hosts):
            abort(403)

    def closed(response: Any) -> Any:  # noqa: ANN401 - flask's response
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        # Processor time of its own thread, in ms; what a browser shows beside how long it waited.
        response.headers["Server-Timing"] = f"answer;dur={1000.0 * (time.thread_time() - g.begun_s):.1f}"
        return response

    app.server.before_request(known)
    app.server.after_request(closed)
