"""Decode latents in a stream and as diffusers does: `python benchmarks/vae_streaming.py --out FILE.json [VAE ...]`.

The nets have the published configurations and random weights: time and memory do not depend on the values. The first
decode of each way compiles or looks for kernels and is said apart. "tiled" is diffusers with `enable_tiling`, "whole"
without it; "eager" is our stream without torch.compile. Errors are ours and diffusers' own (whole, in the same
dtype) against diffusers in float32, on a small picture. `--tiny` tries the script itself on a CPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitascope.clip import Clip
from vitascope.engine import streaming_vae
from vitascope.engine.compile import keep_compiled_in
from vitascope.settings import Settings

GIB = 2**30
SLOW_S = 12
DEADLINE = float(os.environ.get("DEADLINE", "inf"))


@dataclass(frozen=True)
class Case:
    """A VAE and a clip. Units: pixels, frames."""

    name: str
    cls: str
    width: int
    height: int
    num_frames: int
    ways: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    tiny: Mapping[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.bfloat16
    space: int = 8


HUNYUAN = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4, "layers_per_block": 1}
CASES = [
    Case("hunyuan-720p", "AutoencoderKLHunyuanVideo", 1280, 720, 129, ("stream", "tiled"), tiny=HUNYUAN),
    Case("hunyuan-544p", "AutoencoderKLHunyuanVideo", 960, 544, 129, ("stream", "whole", "eager"), tiny=HUNYUAN),
    Case(
        "hunyuan-1.5-720p", "AutoencoderKLHunyuanVideo15", 1280, 720, 121, ("stream", "tiled", "eager"), space=16,
        tiny={"block_out_channels": (8,) * 5, "layers_per_block": 1, "latent_channels": 4},
    ),
    Case(
        "wan2.1-720p", "AutoencoderKLWan", 1280, 720, 81, ("stream", "whole"), dtype=torch.float32,
        tiny={"base_dim": 4, "num_res_blocks": 1},
    ),
]  # fmt: skip


class Race:
    """The ways of one case, beside each other on the same weights."""

    def __init__(self, case: Case, device: str, tiny: bool) -> None:
        import diffusers

        self.case, self.device, self.tiny = case, device, tiny
        torch.manual_seed(0)
        config = {**case.config, **(case.tiny if tiny else {})}
        dtype = torch.float32 if tiny else case.dtype
        with torch.device(device):
            cls = getattr(diffusers, case.cls)
            self.vae = cls(**config).eval().requires_grad_(False).to(dtype)
        width, height, frames = (64, 48, 33) if tiny else (case.width, case.height, case.num_frames)
        channels = self.vae.config.get("latent_channels") or self.vae.config["z_dim"]
        shape = (1, channels, (frames - 1) // 4 + 1, height // case.space, width // case.space)
        self.latents = torch.randn(shape, device=device, dtype=dtype)
        self.row: dict[str, Any] = {
            "vae": case.name, "size": [width, height, frames], "dtype": str(dtype).removeprefix("torch."),
            "weights_gib": self._gib(),
        }  # fmt: skip
        self._plain = self.vae._decode

    def _gib(self) -> float:
        return round(torch.cuda.memory_allocated() / GIB, 2) if self.device == "cuda" else 0.0

    def _set(self, way: str) -> None:
        vars(self.vae).pop("_decode", None)
        self.vae._vitascope_arriving = None
        self.vae.use_tiling = way == "tiled"
        self.vae.decoder.to(memory_format=torch.contiguous_format)
        if way in ("stream", "eager"):
            streaming_vae.install(self.vae, compiled=way == "stream" and self.device == "cuda")

    def timed(self, work: Callable[[], Any]) -> tuple[float, float]:
        """Seconds, and the most memory beside the weights and latents. Units: s, GiB."""
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        before, began = self._gib(), time.perf_counter()
        work()
        if self.device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
        peak = torch.cuda.max_memory_allocated() / GIB if self.device == "cuda" else 0.0
        return round(seconds, 3), round(peak - before, 2)

    def decode(self, way: str) -> None:
        """One decode that warms up, and those that count; diffusers compiles nothing, so its slow ones run once."""
        row = self.row.setdefault(way, {})
        self._set(way)
        row["first_s"], peak = self.timed(lambda: self.vae.decode(self.latents, return_dict=False))
        ours = way in ("stream", "eager")
        if not ours and row["first_s"] > SLOW_S:
            row["peak_gib"] = peak
            return
        for _ in range(2 if ours else 1):
            seconds, row["peak_gib"] = self.timed(lambda: self.vae.decode(self.latents, return_dict=False))
            row.setdefault("decodes_s", []).append(seconds)

    def save(self, way: str) -> None:
        """One decode into an MP4."""
        row = self.row.setdefault(way, {})
        self._set(way)
        row["to_mp4_s"], row["to_mp4_peak_gib"] = self.timed(lambda: self._save(way))

    def _save(self, way: str) -> None:
        from diffusers.video_processor import VideoProcessor

        frames: Any
        if way == "stream":
            with streaming_vae.arriving(self.vae) as clips:
                self.vae.decode(self.latents)
            (frames,) = clips
        else:
            video = VideoProcessor().postprocess_video(self.vae.decode(self.latents)[0], output_type="np")
            frames = (video[0] * 255).round().astype("uint8")
        with tempfile.TemporaryDirectory() as folder:
            Clip(frames, fps=Fraction(24)).save(Path(folder) / "clip.mp4")

    def compare(self) -> None:
        """Relative errors of a small picture's decode, by squares: ours and diffusers' against float32."""
        corner = self.latents[..., :24, :32]
        found: dict[str, Tensor] = {}
        for way in ("whole", "stream"):
            self._set(way)
            found[way] = self.vae.decode(corner, return_dict=False)[0].float()
        self._set("whole")
        self.vae.float()
        exact = self.vae.decode(corner.float(), return_dict=False)[0]
        self.vae.to(self.latents.dtype)
        error = {way: float((pixels - exact).norm() / exact.norm()) for way, pixels in found.items()}
        apart = float((found["stream"] - found["whole"]).norm() / found["whole"].norm())
        self.row["error"] = {"stream": error["stream"], "diffusers": error["whole"], "apart": apart}


def main() -> None:
    """Race the VAEs asked for, writing the results after each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vaes", nargs="*", help="all if none")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    device = "cpu" if arguments.tiny or not torch.cuda.is_available() else "cuda"
    keep_compiled_in(Settings.from_environment().home / "compiled")
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "rows": [],
    }

    def keep() -> None:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    for case in [case for case in CASES if not arguments.vaes or case.name in arguments.vaes]:
        with torch.inference_mode():
            race = Race(case, device, arguments.tiny)
            result["rows"].append(race.row)
            works: list[tuple[str, Callable[[], None]]] = [
                *((way, partial(race.decode, way)) for way in case.ways),
                ("error", race.compare),
                *((way, partial(race.save, way)) for way in case.ways[:2]),
            ]
            for name, work in works:
                if time.time() + 12 > DEADLINE:
                    race.row.setdefault(name, {})["left_out"] = "no time left"
                    continue
                try:
                    work()
                except Exception as error:  # one way that fails must not hide the others
                    race.row.setdefault(name, {})["failed"] = f"{type(error).__name__}: {error}"[:400]
                    if arguments.tiny:
                        raise
                print(name, json.dumps(race.row.get(name)), f"{time.strftime('%T')}", flush=True)
                keep()
        del race, work, works
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
    keep()


if __name__ == "__main__":
    main()
