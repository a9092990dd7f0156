"""How the threads of torch wait for each other; it has to be said before torch is loaded."""

import os

# Turns of GNU OpenMP's waiting loop before a thread sleeps: some ten microseconds. Waking a thread
# takes 50, between operations of a selection that take as long: a tenth of its time. On two cores
# that do other work too 3,000 turns took no time from anybody, and 10,000 did.
SPIN_COUNT = "3000"


def wait_briefly() -> None:
    """Lets threads without work stay awake for a moment only, unless the user has said how long.

    By default they spin for milliseconds between the short steps of a fit, and take the cores from
    other processes.
    """
    policy = os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if policy.upper() == "PASSIVE":
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
