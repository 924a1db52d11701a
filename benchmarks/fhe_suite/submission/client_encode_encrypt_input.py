"""A stage of the benchmark: `entry.stages.client_encode_encrypt_input`."""

import sys

from entry.stages import main

sys.exit(main("client_encode_encrypt_input", sys.argv[1:]))
