"""Whether a server can be reached, found out within seconds."""

import ssl
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen


def check_reachable(url: str, seconds: float) -> None:
    """Checks that a server answers, whatever it answers; libraries try for much longer.

    Args:
        url: An address of the server.
        seconds: How long to wait for an answer.

    Raises:
        ConnectionError: If there is no answer.
        ssl.SSLError: If there is one, and the server's certificate is not trusted.
    """
    try:
        urlopen(Request(url, method="HEAD"), timeout=seconds).close()
    except HTTPError:
        return  # an answer
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLError):
            raise reason from error
        raise ConnectionError(f"{url} cannot be reached ({reason})") from error
