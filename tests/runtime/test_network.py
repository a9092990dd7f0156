import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dal.runtime import network


class Silent(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """A server that knows no method, so that each of its answers is an error."""
    with HTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_error_is_an_answer(server: str) -> None:
    network.check_reachable(f"http://{server}", 5)


def test_no_answer_is_an_error() -> None:
    with pytest.raises(ConnectionError, match="http://127.0.0.1:9 cannot be reached .*refused"):
        network.check_reachable("http://127.0.0.1:9", 5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=r"cannot be reached \(.*timed out"):
            network.check_reachable(url, 0.05)


def test_trouble_with_a_certificate_is_told_apart(server: str) -> None:
    with pytest.raises(ssl.SSLError):  # it does not even speak TLS
        network.check_reachable(f"https://{server}", 5)
