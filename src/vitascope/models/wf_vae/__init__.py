"""WF-VAE: a causal video autoencoder whose low frequencies take a shortcut of wavelets.

Source: Li et al., "WF-VAE: Enhancing Video VAE by Wavelet-Driven Energy Flow", arXiv 2411.17459;
github.com/PKU-YuanGroup/WF-VAE at d858bee8, Apache-2.0.
"""

from vitascope.models.wf_vae.autoencoder import AutoencoderKLWFVAE
from vitascope.models.wf_vae.convert import load_wf_vae

__all__ = ["AutoencoderKLWFVAE", "load_wf_vae"]
