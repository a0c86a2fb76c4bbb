"""MimicMotion: the person of a picture moves as a sequence of poses says, by Stable Video Diffusion.

Poses are drawn as skeletons whose brightness is how sure the detector was; a small network turns the drawings into
what is added behind the UNet's first convolution. Clips of any length are denoised in tiles that overlap.

Source: Zhang et al., "MimicMotion: High-Quality Human Motion Video Generation with Confidence-aware Pose Guidance",
arXiv 2406.19680; Tencent/MimicMotion at 62f91e1, Apache-2.0.
"""

from vitascope.models.mimicmotion.alignment import Alignment, align
from vitascope.models.mimicmotion.drawing import draw_pose
from vitascope.models.mimicmotion.fusion import denoise_in_tiles, initial_latents, tile_weights, tiles_of
from vitascope.models.mimicmotion.keypoints import FramePose, frame_poses
from vitascope.models.mimicmotion.pose_net import PoseNet, pose_guided

__all__ = [
    "Alignment",
    "FramePose",
    "PoseNet",
    "align",
    "denoise_in_tiles",
    "draw_pose",
    "frame_poses",
    "initial_latents",
    "pose_guided",
    "tile_weights",
    "tiles_of",
]
