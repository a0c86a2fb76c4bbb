#!/bin/sh
# What `make demo` and `make test` need from the system: Python 3.11 or newer with venv.
# Everything else (FFmpeg's libraries, OpenCV, x264) comes inside Python wheels.
set -eu
python=${PYTHON:-python3}
if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    exit 0
fi
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq python3 python3-venv
else
    echo "Vitascope needs Python 3.11 or newer with venv; install it, or set PYTHON=/path/to/python3.11" >&2
    exit 3
fi
