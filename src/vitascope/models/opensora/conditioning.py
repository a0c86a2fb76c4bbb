"""Which frames of a video are given, which are made, and which are made over: Open-Sora's mask strategies.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), opensora/utils/inference_utils.py, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from vitascope.errors import RequestError

# Latent frames of one VAE chunk. Published as `align` and `condition_frame_length`, both 5.
LATENT_FRAMES_PER_CHUNK = 5


@dataclass(frozen=True)
class ReferencePlacement:
    """Puts a stretch of one reference into the video made by one loop.

    Units: starts and length in latent frames; a negative start counts from the end.
    Range: edit_ratio 0 (keep the reference as it is) .. 1 (make it anew).
    """

    loop: int = 0
    reference: int = 0
    reference_start: int = 0
    target_start: int = 0
    length: int = 1
    edit_ratio: float = 0.0


def parse_mask_strategy(text: str) -> list[ReferencePlacement]:
    """Read "loop,reference,reference_start,target_start,length,edit_ratio;..."; left out means 0,0,0,0,1,0.

    Raises: RequestError.
    """
    return [_parse_placement(group) for group in text.split(";")] if text.strip() else []


def _parse_placement(group: str) -> ReferencePlacement:
    parts = group.split(",")
    names = [field.name for field in fields(ReferencePlacement)]
    if len(parts) > len(names):
        raise RequestError(f"mask strategy {group!r} has {len(parts)} numbers; at most {len(names)}: {names}")
    try:
        given = [
            (float if name == "edit_ratio" else int)(part) for name, part in zip(names, parts, strict=False)
        ]
    except ValueError as error:
        raise RequestError(f"mask strategy {group!r} must be numbers: {','.join(names)}") from error
    placement = ReferencePlacement(*given)  # type: ignore[arg-type]
    if not 0 <= placement.edit_ratio <= 1 or placement.length < 1:
        raise RequestError(f"mask strategy {group!r}: edit_ratio must be in 0..1 and length at least 1")
    return placement


def place_references(
    latents: Tensor, references: Sequence[Tensor], placements: Sequence[ReferencePlacement], loop: int = 0
) -> tuple[Tensor, Tensor]:
    """Write references into noise, and say of each latent frame how far it is to be made anew.

    Shape: latents `B c t h w`, each reference `c t' h w`, or `B c t' h w` with one a sample; gives
        latents and edit ratios `t`.
    Raises: RequestError for a reference that was not given, or a stretch outside of it.
    """
    latents = latents.clone()
    num_frames = latents.shape[2]
    edit_ratio = torch.ones(num_frames, device=latents.device)
    for placement in placements:
        if placement.loop != loop:
            continue
        if not 0 <= placement.reference < len(references):
            raise RequestError(f"{placement} names a reference that is not there; given: {len(references)}")
        reference = references[placement.reference]
        available = reference.shape[-3]
        if reference.shape[-2:] != latents.shape[-2:]:
            raise RequestError(
                f"a reference is {tuple(reference.shape[-2:])} latents high and wide, not "
                f"{tuple(latents.shape[-2:])}: give it at the video's size"
            )
        source = _resolve_start(placement.reference_start, available)
        target = _resolve_start(placement.target_start, num_frames)
        length = min(placement.length, num_frames - target, available - source)
        if min(source, target) < 0 or length < 1:
            raise RequestError(f"{placement} lies outside: {num_frames} latent frames, {available} given")
        latents[:, :, target : target + length] = reference[..., source : source + length, :, :].to(latents)
        edit_ratio[target : target + length] = placement.edit_ratio
    return latents, edit_ratio


def _resolve_start(start: int, num_frames: int) -> int:
    """Count from the end if negative, then go to the nearest border that leaves a whole chunk after it."""
    start = num_frames + start if start < 0 else start
    chunks, rest = divmod(start, LATENT_FRAMES_PER_CHUNK)
    if rest > LATENT_FRAMES_PER_CHUNK / 2 and chunks < num_frames // LATENT_FRAMES_PER_CHUNK - 1:
        chunks += 1
    return chunks * LATENT_FRAMES_PER_CHUNK


def continuation(loop: int, reference: int, edit_ratio: float = 0.0) -> ReferencePlacement:
    """Start a loop with the last chunk of the clip that the loop before it made."""
    return ReferencePlacement(
        loop=loop,
        reference=reference,
        reference_start=-LATENT_FRAMES_PER_CHUNK,
        length=LATENT_FRAMES_PER_CHUNK,
        edit_ratio=edit_ratio,
    )
