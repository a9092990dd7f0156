"""A real Label Studio on this machine alone, with its own SQLite, and people who use it.

    python -m tests.label_studio.server PROGRAM FOLDER SECONDS COMMAND ...

starts one and runs a command, which finds its address in ``DAL_TEST_LABEL_STUDIO``. If it does not
start in time, that is said in one line, and is no failure.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import cookiejar
from pathlib import Path
from typing import Any

OWNER = "owner@example.org"
PASSWORD = "a password of the test"
TOKEN = "0123456789abcdef0123456789abcdef01234567"

# It should call nobody: no statistics of use, no reports of errors, no look for a new version.
QUIET = {
    "COLLECT_ANALYTICS": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "LATEST_VERSION_CHECK": "false",
    "NO_PROXY": "127.0.0.1",
    "HTTP_PROXY": "http://127.0.0.1:9",  # where nobody listens
    "HTTPS_PROXY": "http://127.0.0.1:9",
}

# As `label-studio` does, but with tables that are created from its models at once: its migrations
# would keep a core busy for 40 seconds.
START = """
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.urls import get_resolver
from label_studio import server

def create_tables():
    get_resolver().url_patterns  # loads all models
    settings.MIGRATION_MODULES = {app.label: None for app in apps.get_app_configs()}
    call_command("migrate", run_syncdb=True, verbosity=0)

server._apply_database_migrations = create_tables
server.main()
"""


class Person:
    """Somebody who labels, through the API.

    Args:
        url: Of the server.
        token: Of the person.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """The answer to a request.

        Raises:
            AssertionError: If it is refused, with what the server said.
        """
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with _opener().open(request) as answer:
                content: bytes = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from error
        return content

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a request, decoded."""
        return json.loads(self.request(method, path, body))

    def create(self, title: str, configuration: str) -> int:
        """The number of a new project."""
        body = {"title": title, "label_config": configuration}
        return int(self.call("POST", "/api/projects", body)["id"])

    def configure(self, project: int, configuration: str) -> None:
        """Replaces a project's labeling configuration."""
        self.call("PATCH", f"/api/projects/{project}", {"label_config": configuration})

    def upload(self, project: int, tasks: Sequence[dict[str, Any]]) -> list[int]:
        """Adds tasks to a project; their numbers, in order."""
        path = f"/api/projects/{project}/import?return_task_ids=true"
        return [int(number) for number in self.call("POST", path, tasks)["task_ids"]]

    def annotate(self, task: int, label: str | None = None, new_class: str | None = None) -> None:
        """Submits what a person chose, what they wrote into the field, both or nothing."""
        result = []
        if label is not None:
            result.append(_result("label", "choices", {"choices": [label]}))
        if new_class is not None:
            result.append(_result("new_class", "textarea", {"text": [new_class]}))
        self._annotate(task, result, was_cancelled=False)

    def skip(self, task: int) -> None:
        """Presses Skip."""
        self._annotate(task, [], was_cancelled=True)

    def _annotate(self, task: int, result: list[dict[str, Any]], was_cancelled: bool) -> None:
        body = {"result": result, "was_cancelled": was_cancelled, "lead_time": 1.5}
        self.call("POST", f"/api/tasks/{task}/annotations", body)

    def export(self, project: int, form: str) -> bytes:
        """What people have answered so far: ``JSON``, ``JSON_MIN``, ``CSV`` or ``TSV``."""
        return self.request("GET", f"/api/projects/{project}/export?exportType={form}")

    def invite(self, email: str) -> "Person":
        """A second person, who signs up with the link that an owner sends."""
        link = urllib.parse.urljoin(self.url, self.call("GET", "/api/invite")["invite_url"])
        cookies = cookiejar.CookieJar()
        browser = _opener(urllib.request.HTTPCookieProcessor(cookies))
        browser.open(link).close()
        secret = next(cookie.value for cookie in cookies if cookie.name == "csrftoken")
        form = {"email": email, "password": PASSWORD, "csrfmiddlewaretoken": secret}
        data = urllib.parse.urlencode(form).encode()
        browser.open(urllib.request.Request(link, data, {"Referer": link})).close()
        with browser.open(f"{self.url}/api/current-user/token") as answer:
            return Person(self.url, json.load(answer)["token"])


def _result(name: str, type_: str, value: dict[str, list[str]]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "shown", "type": type_, "value": value}


def _opener(*handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    """Asks the server directly, whatever proxy this machine has."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)


@contextmanager
def serving(program: str, folder: Path, seconds: float) -> Iterator[Person]:
    """Starts Label Studio, and stops it in the end; gives its owner.

    Args:
        program: The command ``label-studio``, beside its Python.
        folder: For all that it writes.
        seconds: How long starting may take.

    Raises:
        TimeoutError: If it does not start; with its last line.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    owner = Person(f"http://127.0.0.1:{port}", TOKEN)
    python = Path(program).resolve().parent / "python"
    command = [str(python), "-c", START, "start", "--no-browser", "--data-dir", str(folder)]
    command += ["--internal-host", "127.0.0.1", "--port", str(port), "--enable-legacy-api-token"]
    command += ["--username", OWNER, "--password", PASSWORD, "--user-token", TOKEN]
    environment = os.environ | QUIET | {"HOME": str(folder)}
    environment.pop("PYTHONPATH", None)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait(server, owner.url, seconds, folder / "server.log")
        yield owner
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait(server: subprocess.Popen[bytes], url: str, seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            _opener().open(f"{url}/health").close()
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                said = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
                raise TimeoutError(f"it does not start in time: {' '.join(said)}") from None
            time.sleep(0.2)
        else:
            return


def main(program: str, folder: str, seconds: str, *command: str) -> int:
    """Runs a command beside a server; its exit status."""
    try:
        with serving(program, Path(folder), float(seconds)) as owner:
            return subprocess.call(command, env=os.environ | {"DAL_TEST_LABEL_STUDIO": owner.url})
    except TimeoutError as error:
        print(f"Left out: labeling with a real Label Studio ({error}).")
        return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
