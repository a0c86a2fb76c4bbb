"""Does ExVideo's extension steady long clips? `python benchmarks/exvideo_jitter.py DIR --out FILE.json`.

DIR is what `python -m vitascope.training.exvideo` made. The tiny SVD makes 25 frames of held-out pictures (the
reference) and 64 frames, which it was not trained for; with the extension it makes 64 frames of the same
pictures from the same seeds. All are decoded in the same way, and nothing is selected. Jitter is told by the warp
error, by the second difference of frames and by how the shape's centre strays from an even path; the amount of
motion must stay that of the reference, so that stillness does not win. "decoded" is the truth through the
autoencoder alone: what no denoiser can be better than. Beside FILE.json, FILE.jpg shows
frames of the first clips: of the truth, 25 frames, 64 frames plainly, 64 frames extended.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from PIL.Image import fromarray

from vitascope.clip import Clip, Image
from vitascope.context import Context
from vitascope.engine.placement import Placement
from vitascope.generators import GENERATORS
from vitascope.metrics import METRICS
from vitascope.task import ImageToVideo
from vitascope.toyworld.scenes import Scene
from vitascope.training.exvideo.parts import BASE_FRAMES
from vitascope.training.exvideo.recipe import FPS, MOTION_BUCKET, NOISE_AUG
from vitascope.training.exvideo.world import SIZE, drawn_once, frame_order, moving_scenes

START, SHOWN, EVERY = 3, 3, 4
"""Where in its motion a clip begins; how many clips are shown, and every which of their frames."""

MEASURED = (
    "warp-error-dis",
    "motion-smoothness-dis",
    "flow-score-dis",
    "dynamic-degree-dis",
    "temporal-flickering",
)


def second_difference(frames: np.ndarray) -> float:
    """Mean absolute second difference over time: what does not go on as it began. Units: grey levels."""
    frames = frames.astype(np.float32)
    return float(np.abs(frames[:-2] - 2 * frames[1:-1] + frames[2:]).mean())


def centres(frames: np.ndarray) -> np.ndarray:
    """Where the shape is in each frame: the middle of what differs from the ground. Shape: (T, 2), pixels."""
    frames = frames.astype(np.float32)
    ground = np.median(frames[:, [0, 0, -1, -1], [0, -1, 0, -1]], axis=1)[:, None, None]
    weight = np.clip(np.abs(frames - ground).max(-1) - 24, 0, 64)
    total = weight.sum((1, 2)) + 1e-6
    down, along = np.mgrid[: frames.shape[1], : frames.shape[2]]
    return np.stack([(weight * axis).sum((1, 2)) / total for axis in (along, down)], axis=1)


def measured(clip: Clip) -> dict[str, float | None]:
    """All figures of one clip."""
    frames = clip.array()
    path = centres(frames)
    return {
        **{name: METRICS[name]().score(clip).value for name in MEASURED},
        "second-difference": second_difference(frames),
        "centre-jitter-px": float(np.linalg.norm(path[:-2] - 2 * path[1:-1] + path[2:], axis=1).mean()),
        "centre-speed-px": float(np.linalg.norm(np.diff(path, axis=0), axis=1).mean()),
    }


def summary(rows: list[dict[str, float | None]]) -> dict[str, Any]:
    """Means over the clips that could be measured, and each clip's own figures."""
    means = {name: float(np.mean([row[name] for row in rows if row[name] is not None])) for name in rows[0]}
    return {**means, "clips": len(rows), "each": {name: [row[name] for row in rows] for name in rows[0]}}


def strip(clips: list[Clip], every: int) -> np.ndarray:
    """Every so manieth frame of clips, side by side. Shape: (H, W, 3)."""
    return np.concatenate([np.concatenate(list(clip.array()[::every]), axis=1) for clip in clips])


def true_clips(scenes: list[Scene], num_frames: int) -> list[Clip]:
    """What the toy world itself shows from the pictures that the model is given."""
    passes = ((drawn_once(scenes, "cpu") + 1) * 127.5).round().byte().permute(0, 1, 3, 4, 2).numpy()
    return [
        Clip(np.ascontiguousarray(passes[row][frame_order(scene, START, num_frames)]), Fraction(7))
        for row, scene in enumerate(scenes)
    ]


@torch.no_grad()
def decoded(clips: list[Clip], folder: Path) -> list[Clip]:
    """Clips through the autoencoder and back."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vae = AutoencoderKLTemporalDecoder.from_pretrained(folder / "svd", subfolder="vae").to(device).eval()
    made = []
    for clip in clips:
        pixels = torch.from_numpy(clip.array()).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        again = vae.decode(vae.encode(pixels).latent_dist.mode(), num_frames=len(pixels)).sample
        frames = ((again.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
        made.append(Clip(np.ascontiguousarray(frames.cpu().numpy()), clip.fps))
    return made


def generate(
    knobs: dict[str, Any],
    scenes: list[Scene],
    pictures: list[Clip],
    num_frames: int,
    figures: list[Future[dict[str, float | None]]],
    pool: ThreadPoolExecutor,
) -> list[Clip]:
    """A clip of each first picture, the seed being its number; each is measured while the next is made."""
    generator = GENERATORS["svd"].with_knobs(**knobs)
    modules = generator.load(Placement(dtype="float32").resolve())
    clips = []
    for index in range(len(scenes)):
        picture = Image(pictures[index].array()[0])
        task = ImageToVideo.of(
            image=picture, seed=index, width=SIZE, height=SIZE, num_frames=num_frames, fps=FPS
        )
        clips += generator.generate([generator.complete(task)], modules, Context())
        figures.append(pool.submit(measured, clips[-1]))
    return clips


def stacked(rows: list[np.ndarray]) -> np.ndarray:
    """Strips one below the other on white."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(r, ((0, 6), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows]
    return np.concatenate(padded)[:-6]


def main() -> None:
    """Make, measure, write one JSON file and a picture of frames."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance-scale", type=float, default=1.0)
    parser.add_argument("--num-frames", type=int, default=64)
    arguments = parser.parse_args()
    num_frames = arguments.num_frames
    scenes = moving_scenes(77, arguments.clips, "held_out")
    truth = {n: true_clips(scenes, n) for n in (BASE_FRAMES, num_frames)}
    knobs: dict[str, Any] = {
        "model": str(arguments.folder / "svd"),
        "num_inference_steps": arguments.steps,
        "guidance_scale": arguments.guidance_scale,
        "min_guidance_scale": arguments.guidance_scale,
        "noise_aug_strength": NOISE_AUG,
        "motion_bucket_id": MOTION_BUCKET,
        "decode_chunk_size": num_frames,
    }
    # ExVideo evens the frames' brightness after the last step; the plain model is measured with and without.
    extended = {**knobs, "extension": str(arguments.folder / "extension.safetensors"), "contrast": 1.0}
    reference, plain, exvideo = f"svd-{BASE_FRAMES}", f"svd-{num_frames}", f"exvideo-{num_frames}"
    runs = {
        reference: (knobs, BASE_FRAMES),
        exvideo: (extended, num_frames),
        plain: (knobs, num_frames),
        f"{plain}-evened": ({**knobs, "contrast": 1.0}, num_frames),
    }
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "settings": {k: getattr(arguments, k) for k in ("clips", "steps", "guidance_scale", "num_frames")},
        "runs": {},
    }
    with ThreadPoolExecutor(8) as pool:
        pending = {
            f"truth-{n}": [pool.submit(measured, clip) for clip in clips] for n, clips in truth.items()
        }
        again = decoded(truth[num_frames], arguments.folder)
        pending[f"decoded-{num_frames}"] = [pool.submit(measured, clip) for clip in again]
        shown = {"truth": strip(truth[num_frames][:SHOWN], EVERY)}
        for name, (said, length) in runs.items():
            made = generate(said, scenes, truth[BASE_FRAMES], length, pending.setdefault(name, []), pool)
            shown[name] = strip(made[:SHOWN], EVERY)
            sheet = [shown[row] for row in ("truth", reference, plain, exvideo) if row in shown]
            fromarray(stacked(sheet)).save(arguments.out.with_suffix(".jpg"), quality=88)
            for done in [row for row in pending if row not in result["runs"]]:
                result["runs"][done] = summary([future.result() for future in pending[done]])
                print(done, {k: v for k, v in result["runs"][done].items() if k != "each"}, flush=True)
            arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
