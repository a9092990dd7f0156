"""Whether selections take the memory that is stated: each in a process of its own."""

import subprocess
import sys

# A process is forked from one that has loaded torch.
FORKS = """
for case in CASES:
    if os.fork() == 0:
        print(share(*case), flush=True)
        os._exit(0)
    os.wait()
"""


def check(code: str, num_cases: int) -> None:
    """Checks the memory of some cases, up to what is seldom all in use or what an allocator keeps.

    Args:
        code: Defines ``CASES``, and ``share``, which returns the memory that a case takes as a
            share of what is stated.
        num_cases: How many there are.
    """
    done = subprocess.run(
        [sys.executable, "-c", code + FORKS], capture_output=True, text=True, check=True
    )
    shares = [float(line) for line in done.stdout.split()]
    assert len(shares) == num_cases, done.stderr
    assert 0.5 < min(shares) <= max(shares) < 1.1, shares
