"""ExVideo: Stable Video Diffusion stretched from 25 frames to as many as 128.

`ExVideoUNet` is diffusers' `UNetSpatioTemporalConditionModel` with a trainable table of frame positions and a
3D convolution at the door of each temporal block; it takes SVD's place in `StableVideoDiffusionPipeline`.

Source: Duan et al., "ExVideo: Extending Video Diffusion Models via Parameter-Efficient Post-Tuning",
arXiv 2406.14130; modelscope/DiffSynth-Studio at afd101f, `diffsynth/models/svd_unet.py`,
`diffsynth/pipelines/svd_video.py`, Apache-2.0.
"""

from vitascope.models.exvideo.sampling import (
    noise_latents,
    steady_frames,
    video_to_video_sigmas,
)
from vitascope.models.exvideo.unet import ExVideoUNet
from vitascope.models.exvideo.weights import (
    EXTENSION_FILE,
    extension_length,
    load_extension,
    load_exvideo,
    read_extension,
    save_extension,
)

__all__ = [
    "EXTENSION_FILE",
    "ExVideoUNet",
    "extension_length",
    "load_extension",
    "load_exvideo",
    "noise_latents",
    "read_extension",
    "save_extension",
    "steady_frames",
    "video_to_video_sigmas",
]
