"""`python -m tests.faults.armed_node HOME POINT`: a node that is killed with SIGKILL when it comes to a moment."""

import os
import signal
import sys
from pathlib import Path

from compute.node import config as configuration
from compute.node import service
from tests.faults import points

if __name__ == "__main__":
    points.arm(sys.argv[2], lambda: os.kill(os.getpid(), signal.SIGKILL))
    service.run(configuration.load(Path(sys.argv[1])))
