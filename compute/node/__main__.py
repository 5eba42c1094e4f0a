"""`python -m compute.node` is `hengshu-node`."""

import sys

from compute.node.cli import main

if __name__ == "__main__":
    sys.exit(main())
