"""One thread a test process: the suite runs two processes side by side, and small networks gain nothing from more."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
