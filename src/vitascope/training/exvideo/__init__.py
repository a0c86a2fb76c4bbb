"""A tiny Stable Video Diffusion of the toy world, and ExVideo's extension trained on it."""
