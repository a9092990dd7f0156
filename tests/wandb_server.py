"""A stand-in for the W&B server that keeps what a client uploads.

It knows just enough of the protocol for the client to start, resume and finish runs: GraphQL
queries by name, and the file stream, in which a client says at which line its rows begin.
"""

import json
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API_KEY = "a" * 40


@dataclass
class Run:
    """What the server knows of a run.

    Attributes:
        lines: Rows of the history by line number, as uploaded.
        summary: The last summary.
        settings: What the client said about the run: config, group, job type, ...
        exit_code: Of the last process; None while it runs.
    """

    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows in order."""
        return [self.lines[number] for number in sorted(self.lines)]


class Server(ThreadingHTTPServer):
    """The server: ``runs`` by id, uploaded ``files`` by path, ``queries`` in order of arrival."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, Run] = defaultdict(Run)
        self.queries: list[str] = []
        self.files: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a client finds it."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": API_KEY}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Does not mind when a client hangs up."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def answer(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data that a GraphQL query asks for."""
        project = {"id": "1", "name": "dal", "entity": {"id": "2", "name": "me"}}
        if name == "UpsertBucket":
            run_id = variables["name"]
            is_new = run_id not in self.runs
            run = self.runs[run_id]
            run.exit_code = None
            run.settings |= {key: value for key, value in variables.items() if value is not None}
            bucket = {"id": run_id, "name": run_id, "historyLineCount": len(run.lines)}
            bucket |= {"displayName": run.settings.get("displayName"), "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}
        if name == "RunResumeStatus" and variables["name"] in self.runs:
            run = self.runs[variables["name"]]
            tail = [json.dumps(row) for row in run.history[-1:]]
            bucket = {
                "id": variables["name"],
                "name": variables["name"],
                "historyLineCount": len(run.lines),
                "logLineCount": 0,
                "eventsLineCount": 0,
                "historyTail": json.dumps(tail),
                "eventsTail": "[]",
                "summaryMetrics": json.dumps(run.summary),
                "config": run.settings["config"],
                "wandbConfig": json.dumps(json.loads(run.settings["config"])["_wandb"]["value"]),
                "tags": [],
            }
            return {"model": {"id": "1", "name": "dal", "bucket": bucket}}
        if name == "CreateRunFiles":
            files = [
                {"name": file, "uploadUrl": f"{self.url}/{file}"} for file in variables["files"]
            ]
            return {
                "createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}
            }
        if name == "Viewer":
            return {"viewer": {"id": "3", "entity": "me", "username": "me", "flags": "{}"}}
        if name == "ArtifactType":
            return {"project": None}
        artifact = {"id": "4", "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        if name == "CreateArtifact":
            return {"createArtifact": {"artifact": artifact}}
        if name == "CreateArtifactManifest":
            file = {"id": "5", "uploadUrl": f"{self.url}/manifest", "uploadHeaders": []}
            return {"createArtifactManifest": {"artifactManifest": {"id": "6", "file": file}}}
        if name == "CreateArtifactFiles":
            names = [file["name"] for file in variables["input"]["artifactFiles"]]
            nodes = [
                {
                    "storagePath": file,
                    "uploadUrl": f"{self.url}/artifact/{file}",
                    "uploadHeaders": [],
                    "artifact": {"id": "4"},
                }
                for file in names
            ]
            return {"createArtifactFiles": {"files": {"edges": [{"node": n} for n in nodes]}}}
        if name == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": "4", "digest": "7"}}}
        return {}


class Handler(BaseHTTPRequestHandler):
    """Keeps the file stream, and answers GraphQL."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """Stays quiet."""

    def do_PUT(self) -> None:
        """Takes a file."""
        self.server.files[self.path] = self._body()
        self._reply({})

    def do_POST(self) -> None:
        """Takes rows, or answers a query."""
        data = self._body()
        if not data.startswith(b"{"):  # telemetry
            self._reply({})
            return
        body = json.loads(data)
        stream = re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path)
        if stream:
            run = self.server.runs[stream[1]]
            files = body.get("files") or {}
            history = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
            for number, line in enumerate(history["content"], start=history["offset"]):
                run.lines[number] = json.loads(line)
            for line in files.get("wandb-summary.json", {}).get("content", []):
                run.summary = json.loads(line)
            run.exit_code = body.get("exitcode", run.exit_code)
            self._reply({})
            return
        found = re.search(r"(?:query|mutation)\s+(\w+)", body.get("query", ""))
        name = found[1] if found else ""
        self.server.queries.append(name)
        self._reply({"data": self.server.answer(name, body.get("variables") or {})})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _reply(self, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port of this machine."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
