#!/bin/sh
# What `make prove` and `make bench` use beside Python: PostgreSQL and the load client hey. Proofs without them are skipped.
set -eu
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq postgresql hey
else
    echo "install PostgreSQL and hey (https://github.com/rakyll/hey) with your package manager" >&2
    exit 3
fi
