"""One thread a test process: the suite runs two processes side by side, and small networks gain nothing from more.

And Ctrl-C works in every process: the shell's background jobs begin with SIGINT ignored.
"""

import os
import signal
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Python's own handler of SIGINT, also where the process was started without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
