"""The causal video autoencoder of Open-Sora-Plan 1.2, as a diffusers model.

Source: Open-Sora-Plan report v1.2.0; github.com/PKU-YuanGroup/Open-Sora-Plan at v1.2.0,
opensora/models/causalvideovae/model/causal_vae/modeling_causalvae.py, MIT.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401 (diffusers seeks it here on loading)
from torch import Tensor, nn

from vitascope.models.opensora_plan.causal_blocks import CONVOLUTIONS, block_class
from vitascope.models.opensora_plan.causal_network import CausalDecoder, CausalEncoder, Half
from vitascope.models.opensora_plan.tiling import Tiling, run_tiled
from vitascope.models.wf_vae.causal_autoencoder import CausalVideoAutoencoder

FRAMEWISE_THEN_CAUSAL = ("ResnetBlock2D", "ResnetBlock2D", "ResnetBlock3D", "ResnetBlock3D")
DOWNSAMPLERS = ("Downsample", "Spatial2xTime2x3DDownsample", "Spatial2xTime2x3DDownsample", "")
UPSAMPLERS = ("", "SpatialUpsample2x", "Spatial2xTime2x3DUpsample", "Spatial2xTime2x3DUpsample")


class AutoencoderKLCausalVideo(CausalVideoAutoencoder):
    """The causal video autoencoder of Open-Sora-Plan up to 1.2.

    Arguments are upstream's, as a checkpoint's config names its blocks; defaults are the published 1.2.0.
    Group norms take their statistics over all frames at once, so that tiles are an approximation.
    Source: see the module; `scaling_factor` from opensora/models/causalvideovae/__init__.py.
    """

    @register_to_config
    def __init__(
        self,
        hidden_size: int = 128,
        z_channels: int = 4,
        hidden_size_mult: Sequence[int] = (1, 2, 4, 4),
        embed_dim: int = 4,
        num_res_blocks: int = 2,
        double_z: bool = True,
        q_conv: str = "CausalConv3d",
        encoder_conv_in: str = "Conv2d",
        encoder_conv_out: str = "CausalConv3d",
        encoder_attention: str = "AttnBlock3DFix",
        encoder_resnet_blocks: Sequence[str] = FRAMEWISE_THEN_CAUSAL,
        encoder_spatial_downsample: Sequence[str] = DOWNSAMPLERS,
        encoder_temporal_downsample: Sequence[str] = ("", "", "", ""),
        encoder_mid_resnet: str = "ResnetBlock3D",
        decoder_conv_in: str = "CausalConv3d",
        decoder_conv_out: str = "CausalConv3d",
        decoder_attention: str = "AttnBlock3DFix",
        decoder_resnet_blocks: Sequence[str] = ("ResnetBlock3D",) * 4,
        decoder_spatial_upsample: Sequence[str] = UPSAMPLERS,
        decoder_temporal_upsample: Sequence[str] = ("", "", "", ""),
        decoder_mid_resnet: str = "ResnetBlock3D",
        use_quant_layer: bool = True,
        scaling_factor: float = 0.18215,
    ) -> None:
        super().__init__()
        widths = [hidden_size, *(hidden_size * factor for factor in hidden_size_mult)]
        self.encoder = CausalEncoder(
            Half(
                widths=widths,
                latent_channels=2 * z_channels if double_z else z_channels,
                num_blocks=num_res_blocks,
                conv_in=encoder_conv_in,
                conv_out=encoder_conv_out,
                blocks=encoder_resnet_blocks,
                spatial_resizers=encoder_spatial_downsample,
                time_resizers=encoder_temporal_downsample,
                mid_block=encoder_mid_resnet,
                attention=encoder_attention,
            )
        )
        self.decoder = CausalDecoder(
            Half(
                widths=widths,
                latent_channels=z_channels,
                num_blocks=num_res_blocks + 1,
                conv_in=decoder_conv_in,
                conv_out=decoder_conv_out,
                blocks=decoder_resnet_blocks,
                spatial_resizers=decoder_spatial_upsample,
                time_resizers=decoder_temporal_upsample,
                mid_block=decoder_mid_resnet,
                attention=decoder_attention,
            )
        )
        if use_quant_layer:
            convolution = block_class(CONVOLUTIONS, q_conv)
            self.quant_conv = convolution(2 * z_channels, 2 * embed_dim, 1)
            self.post_quant_conv = convolution(embed_dim, z_channels, 1)
        else:
            self.quant_conv, self.post_quant_conv = nn.Identity(), nn.Identity()
        upsamplers = [*decoder_spatial_upsample, *decoder_temporal_upsample]
        self.temporal_compression_ratio = 2 ** sum("Time" in name for name in upsamplers)
        self.spatial_compression_ratio = 2 ** sum(bool(name) for name in decoder_spatial_upsample)
        self.scaling_factor = scaling_factor
        self.tiling = Tiling()

    def enable_tiling(self, tiling: Tiling | None = None) -> None:
        """Encode and decode in overlapping tiles of space and time: less memory, slightly other frames."""
        self.tiling = tiling or Tiling()
        self.use_tiling = True

    def scale_latents(self, z: Tensor) -> Tensor:
        """What the encoder gives, as a denoiser takes it."""
        return z * self.scaling_factor

    def unscale_latents(self, latents: Tensor) -> Tensor:
        """What a denoiser gives, as the decoder takes it."""
        return latents / self.scaling_factor

    def _moments(self, clip: Tensor) -> Tensor:
        tiling = self.tiling
        if self.use_tiling and not tiling.fits_sample(clip):
            sizes = (tiling.sample_frames, tiling.sample_size, tiling.latent_size)
            return run_tiled(clip, self._moments_of_tile, *sizes, tiling.overlap)
        return self._moments_of_tile(clip)

    def _frames(self, latents: Tensor) -> Tensor:
        tiling = self.tiling
        if self.use_tiling and not tiling.fits_latents(latents):
            sizes = (tiling.latent_frames, tiling.latent_size, tiling.sample_size)
            return run_tiled(latents, self._frames_of_tile, *sizes, tiling.overlap)
        return self._frames_of_tile(latents)

    def _moments_of_tile(self, clip: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(clip))

    def _frames_of_tile(self, latents: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(latents))
