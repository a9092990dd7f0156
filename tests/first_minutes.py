"""The commands and the Python code at the top of the README, as printed, in this environment.

They run one after the other in an empty folder, as a new user would type them. Every line of output
that the README shows must come, with other numbers at most: they depend on the machine. It is run
by ``.ci/run`` where nothing but the package is installed, so it imports the standard library alone.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEADINGS = ("## Install", "## Three doors")
INSTALL = "pip install -c constraints.txt . && "
NEEDS_FILES = re.compile(r"photos|birds")  # of the user's own, and weights from the hub


def main() -> None:
    """Runs them, and prints the seconds that each takes."""
    text = (ROOT / "README.md").read_text("utf-8")
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    shown = "".join(section for section in sections if section.startswith(HEADINGS))
    outputs: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for language, block in re.findall(r"```(\w*)\n(.*?)```", shown, re.DOTALL):
            if language == "python":
                outputs.append(run([sys.executable, "-c", block], folder, "the Python code"))
            elif language == "bash":
                for line in block.splitlines():
                    command = line.partition("  #")[0].rstrip().removeprefix(INSTALL)
                    if not command.startswith("pip ") and not NEEDS_FILES.search(command):
                        outputs.append(run(["bash", "-c", command], folder, command))
            else:
                check(block, outputs)
        picture = Path(folder, "outputs", "digits", "bait_binary", "seed_0", "curve.png")
        assert picture.is_file(), "there is no picture of the first run"


def run(words: list[str], folder: str, what: str) -> str:
    """What a command prints."""
    began = time.monotonic()
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, text=True)
    print(f"{time.monotonic() - began:5.1f} s  {what}", flush=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nexit status {done.returncode}: {what}")
    return done.stdout


def check(block: str, outputs: list[str]) -> None:
    """Every line that is shown was printed, apart from its numbers and its line breaks."""
    printed = masked(" ".join(outputs))
    for line in filter(None, map(str.strip, block.splitlines())):
        if masked(line) not in printed:
            sys.exit(f"The README shows a line that no command above it prints:\n{line}")


def masked(text: str) -> str:
    """The text without numbers, with single spaces."""
    return " ".join(re.sub(r"[\d.,]*\d", "#", text).replace("▸", "").split())


if __name__ == "__main__":
    main()
