"""A stage of the benchmark: `entry.stages.client_key_generation`."""

import sys

from entry.stages import main

sys.exit(main("client_key_generation", sys.argv[1:]))
