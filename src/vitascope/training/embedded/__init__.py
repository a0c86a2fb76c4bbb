"""Training of Sprout, the embedded model: a CogVideoX at toy size, from random weights to a diffusers folder."""
