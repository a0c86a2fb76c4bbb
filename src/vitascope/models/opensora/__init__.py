"""Open-Sora 1.2: denoiser, video VAE, sampler and pipeline, numerically equal to upstream's.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), Apache-2.0; arXiv 2412.20404.
"""
