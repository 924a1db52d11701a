"""A stage of the benchmark: `entry.stages.server_encrypted_compute`."""

import sys

from entry.stages import main

sys.exit(main("server_encrypted_compute", sys.argv[1:]))
