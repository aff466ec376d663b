"""Opens the page on this machine and serves it until Ctrl-C."""

import logging
import os
import socket
import threading
import webbrowser

from fakeface.core.errors import UserError, require_packages
from fakeface.core.run import importing

HOST = "127.0.0.1"  # this machine alone: there is no password


def serve(model: str | None, port: int, browser: bool) -> None:
    """Blocks until interrupted.

    Args:
        model: as `open_detector` takes it; port: 0 takes a free one; browser: open the page in one.

    Raises:
        UserError: Flask is missing, no such detector, or the port is taken.
    """
    require_packages("web", "flask")
    from fakeface.predict.detector import max_megapixels, open_detector

    with importing():
        predictor = open_detector(model)  # first: it says how torch's threads wait before torch is imported
        from werkzeug.serving import make_server

        from fakeface.images.decode import quiet
        from fakeface.predict.facts import facts
        from fakeface.predict.web.app import make_app

    quiet()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    app = make_app(predictor, facts(predictor.card), max_megapixels())
    with _listening(port) as opened:
        # Threads, because browsers open connections in advance and leave them idle.
        server = make_server(HOST, port, app, threaded=True, fd=opened.fileno())
        url = f"http://{HOST}:{opened.getsockname()[1]}"
        print(f"{predictor.card['approach']} at {url} (Ctrl-C stops it)", flush=True)
        if browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
        finally:
            server.server_close()


def _listening(port: int) -> socket.socket:
    """Opened here, as the server would end the program with lines of its own where the port is taken."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UserError(f"port {port}: {reason}; choose another with --port, 0 for any") from None
