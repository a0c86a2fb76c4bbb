"""Tora: CogVideoX whose objects move along drawn paths.

Paths become a coloured film of their motion (`paths`, `colours`), which the VAE encodes; the trajectory extractor
makes a map of it for each block, and the motion-guidance fuser (`fusing`) bends the block's normed tokens by it. The
transformer (`transformer`) is diffusers' own with both added; the pipelines (`pipelines`) are diffusers' own, given
the film.

Source: Zhang et al., "Tora: Trajectory-oriented Diffusion Transformer for Video Generation", arXiv 2407.21705;
alibaba/Tora at 9a23dce, `diffusers-version/tora`, Apache-2.0.
"""
