"""Training of a small SGM-VFI of our own, from synthetic motion and real clips."""
