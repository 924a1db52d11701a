#!/bin/sh
# OpenFHE is not used. It fails where the package that the stages import is not installed.
exec "${PYTHON:-python3}" -c "import numpy, secure.streams.frames"
