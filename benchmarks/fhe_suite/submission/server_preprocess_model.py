"""A stage of the benchmark: `entry.stages.server_preprocess_model`."""

import sys

from entry.stages import main

sys.exit(main("server_preprocess_model", sys.argv[1:]))
