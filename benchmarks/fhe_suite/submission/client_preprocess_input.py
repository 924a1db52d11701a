"""A stage of the benchmark: `entry.stages.client_preprocess_input`."""

import sys

from entry.stages import main

sys.exit(main("client_preprocess_input", sys.argv[1:]))
