"""A stage of the benchmark: `entry.stages.client_postprocess`."""

import sys

from entry.stages import main

sys.exit(main("client_postprocess", sys.argv[1:]))
