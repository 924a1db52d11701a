"""A stage of the benchmark: `entry.stages.client_decrypt_decode`."""

import sys

from entry.stages import main

sys.exit(main("client_decrypt_decode", sys.argv[1:]))
