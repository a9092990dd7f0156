"""Tab, pressed in real shells."""

import os
import re
import select
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dal.completion import __main__ as completion

SECONDS = 60.0  # a machine may be busy
STARTS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(dal completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'eval "$(dal completion zsh)"'),
    "fish": (["fish", "--no-config", "-i"], "dal completion fish | source"),
}
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x07")  # of colours, the cursor and the bell
BEGINNING = "\x01"  # Ctrl-A, to the beginning of the line
TAB, ENTER = "\t", "\r"


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path, variables: dict[str, str]) -> None:
        terminal = "import pty, sys; pty.spawn(sys.argv[1:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", terminal, *command],
            cwd=folder,
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.shown = ""

    def type(self, text: str, until: str) -> str:
        """Types, and returns what is shown then, up to a pattern."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(text.encode())
        began, start = time.monotonic(), len(self.shown)
        while not (found := re.search(until, CODES.sub("", self.shown[start:]))):
            left = SECONDS - (time.monotonic() - began)
            assert left > 0, f"{text!r}: {until!r} is not in {self.shown[start:]!r}"
            if select.select([self.process.stdout], [], [], left)[0]:
                self.shown += os.read(self.process.stdout.fileno(), 65536).decode(errors="replace")
        return found[0]


@pytest.mark.parametrize("name", STARTS)
def test_tab_completes(name: str, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    dal = tmp_path / "bin" / "dal"
    dal.parent.mkdir()
    dal.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dal "$@"\n')
    dal.chmod(dal.stat().st_mode | stat.S_IXUSR)
    folder = tmp_path / "work"
    (folder / "my photos").mkdir(parents=True)
    variables = {
        "PATH": f"{dal.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(tmp_path),
        "TERM": "dumb" if name == "bash" else "xterm",
        "LC_ALL": "C.UTF-8",
    }
    command, setup = STARTS[name]
    shell = Shell(command, folder, variables)
    try:
        # Quotes, so that the line that was typed is not taken for its output.
        shell.type(f"{setup}{ENTER}echo READ''Y{ENTER}", "READY")
        shell.type(f"dal tr{TAB}", "train ")
        shell.type(f"+experiment=im{TAB}", "imagenet")
        shell.type(f"strategy=bait_b{TAB}", "bait_binary")
        shell.type(f"data.pa{TAB}", r"path=")
        shell.type(f"my{TAB}", r"photos/")
        words = "dal train +experiment=imagenet strategy=bait_binary data.path=my photos/"
        printed = f"{BEGINNING}printf '<%s>' GIVEN {ENTER}"
        expected = "".join(f"<{word}>" for word in ["GIVEN", *words.split(" ", 4)])
        shell.type(printed, re.escape(expected))
    finally:
        shell.process.kill()
        shell.process.communicate()


@pytest.mark.parametrize("name", STARTS)
def test_a_script_is_printed_for_every_shell(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dal completion", name])
    completion.main()
    script = capsys.readouterr().out
    assert f" completion {name} " in script
    assert script == Path(completion.__file__).with_name(f"dal.{name}").read_text("utf-8")
