"""Optical flow: how pixels move between frames, and the frames in between."""
