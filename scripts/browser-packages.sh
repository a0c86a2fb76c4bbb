#!/bin/sh
# What the proofs of the web pages and of the labels need from the system: Chromium with fonts for Chinese, and two
# tools that are not ours to read labels back with (ffprobe, exiftool).
set -eu
if command -v chromium >/dev/null && command -v ffprobe >/dev/null && command -v exiftool >/dev/null; then
    exit 0
fi
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk ffmpeg libimage-exiftool-perl
else
    echo "make prove needs chromium, ffprobe and exiftool; install them with your system's package manager" >&2
    exit 3
fi
