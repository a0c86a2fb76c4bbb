"""Ours against diffusers as it is, in one run: alternating blocks of steps, and a VAE decode each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from vitascope.clip import Clip
from vitascope.engine import levers as levers_of
from vitascope.engine import streaming_vae
from vitascope.engine.levers import Levers
from vitascope.engine.memory import GIB
from vitascope.engine.pipelines import environment, levers_for
from vitascope.engine.placement import Placement
from vitascope.errors import ResourceError
from vitascope.evaluation.speed import other_nets, random_models
from vitascope.evaluation.speed.flops import floor_seconds, step_flops
from vitascope.evaluation.speed.meter import Meter
from vitascope.evaluation.speed.random_models import BenchModel
from vitascope.evaluation.speed.records import AS_IS, BenchResult, Start, Timing
from vitascope.evaluation.speed.step_inputs import StepInputs, draw

PLANS = ("exact", "balanced")  # turbo's steps are balanced's, fewer of them
A_BLOCK_S, A_DECODE_S = 20.0, 60.0  # what a first block of steps and a first decode are given


class Bench:
    """One model on one GPU. `on_result` is handed the result after each piece, to keep what was measured."""

    def __init__(
        self,
        model: BenchModel,
        placement: Placement,
        num_steps: int,
        on_result: Callable[[BenchResult], None],
        deadline: float | None = None,
        tiny: bool = False,
    ) -> None:
        import torch

        self.model, self.num_steps, self.placement = model, num_steps, placement
        self._tiny, self._told = tiny, on_result
        self.meter = Meter(placement.device, deadline)
        self._cuda = placement.device.startswith("cuda")
        if not self._cuda and not tiny:
            raise ResourceError(
                f"timing {model.name} needs a CUDA GPU, not {placement.device}; --tiny runs anywhere"
            )
        self.task = model.item(num_steps).complete(model.task(tiny))
        dtype = getattr(torch, placement.dtype)
        self.draw = partial(random_models.components, model, placement.device, dtype, tiny)
        self.result = BenchResult(
            model=model.name,
            task=self.task.described(),
            num_steps=num_steps,
            environment=environment(placement),
            date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
        with self.taking("weights drawn"):
            self.parts = self.draw()
        self.accelerated: dict[str, Any] = {}  # the transformer, at a speed
        self._vae: Any = None

    def time_parts(self, rounds: int = 2) -> None:
        """The steps in alternating blocks, then the decodes."""
        import torch

        with torch.inference_mode():
            with self.taking("steps"):
                self._time_steps(rounds)
            with self.taking("decodes"):
                self._time_decodes()

    def _time_steps(self, rounds: int) -> None:
        inputs = self.step_inputs()
        for speed in PLANS:
            with self.kept(speed):
                self.accelerated[speed] = self.transformer(speed)
        self._note_schedule()
        runs = {AS_IS: self.parts["transformer"], **self.accelerated}
        reference = None
        for round_ in range(rounds):
            for name, module in runs.items():
                timing = self.result.timings.setdefault(name, Timing())
                expected = A_BLOCK_S if timing.step_s is None else timing.step_s
                if timing.failed or self.left_out(expected, f"{name}: round {round_ + 1} of the steps"):
                    continue
                step = partial(_call, module, inputs)
                with self.kept(name):
                    if round_ == 0:
                        self.meter.forget_peak()
                        (timing.first_step_s, (output,)), timing.first_step = self._first(step)
                        reference = output if reference is None else reference
                        timing.relative_error = _relative_error(output, reference)
                        del output
                    timing.steps_s.append(self.meter.timed(step)[0])
                    timing.step_peak_gib = self.meter.peak()

    def transformer(self, speed: str) -> Any:
        """The network at a speed, on the weights of the one that stays as it is."""
        module = random_models.sharing_weights(self.parts["transformer"])
        stand_in = SimpleNamespace(transformer=module, vae=None, components={"transformer": module})
        chosen = self.levers(stand_in, speed)
        levers_of.shrink(stand_in, chosen, self.placement.device)
        levers_of.pull(stand_in, chosen, self.placement.device)
        self.result.timings.setdefault(speed, Timing()).levers = chosen.described()
        return module

    def _note_schedule(self) -> None:
        """Turbo's rule, which steps of a clip are computed: fixed before anything is timed."""
        transformer = self.parts["transformer"]
        stand_in = SimpleNamespace(transformer=transformer, vae=None, components={"transformer": transformer})
        chosen = self.levers(stand_in, "turbo")
        if chosen.skip is not None:
            self.result.timings["turbo"] = Timing(
                levers=chosen.described(), num_computed_steps=sum(chosen.skip.computed(self.num_steps))
            )

    def levers(self, pipeline: Any, speed: str) -> Levers:
        """What a speed comes to for this pipeline here."""
        placement = self.placement.model_copy(update={"speed": speed})
        return levers_for(pipeline, placement)

    def step_inputs(self) -> StepInputs:
        """What the network is called with in a step; the result gets the step's arithmetic."""
        transformer, text = self.parts["transformer"], self.parts.get("text_encoder")
        device, vae = self.placement.device, self.parts["vae"]
        undrawn = other_nets.TINY_WIDTH if self._tiny else self.model.text_width
        width = undrawn if text is None else text.config.d_model
        inputs = draw(
            transformer, random_models.latent_shape(vae, self.task), self.model.text_length, width, device
        )
        flops = inputs.num_calls * step_flops(
            transformer, inputs.num_video, inputs.valid_text, inputs.padded_text
        )
        self.result.step_pflop = flops / 1e15
        gpu = self.result.environment.get("gpu", "")
        self.result.floor_step_s = floor_seconds(flops, gpu) if self._cuda else None
        return inputs

    def give_parts(self) -> dict[str, Any]:
        """The parts as they were drawn, for someone who changes them; what was made of them is given up."""
        self.accelerated.clear()
        self._vae = None
        parts, self.parts = self.parts or self.draw(), {}
        return parts

    def our_vae(self) -> Any:
        """The VAE as every speed decodes with it, on the weights of the one that stays as it is."""
        if self._vae is None:
            ours = random_models.sharing_weights(self.parts["vae"])
            transformer = self.parts["transformer"]
            chosen = self.levers(
                SimpleNamespace(transformer=transformer, vae=ours, components={"vae": ours}), "exact"
            )
            if chosen.vae == "stream":
                streaming_vae.install(ours, compiled=chosen.compile)
            self._vae = ours
        return self._vae

    def _latents(self) -> Any:
        import torch

        vae, device = self.parts["vae"], self.placement.device
        shape = random_models.latent_shape(vae, self.task)
        generator = torch.Generator(device).manual_seed(2)
        return torch.randn(1, *shape, generator=generator, device=device, dtype=vae.dtype)

    def _time_decodes(self) -> None:
        vae, latents = self.parts["vae"], self._latents()
        with self.kept(AS_IS):
            if self.model.tiled_as_is:
                vae.enable_tiling()  # untiled, diffusers needs more than an 80 GB card
            self._time_decode(AS_IS, vae, latents)
            vae.use_tiling = False
        with self.kept("exact"):
            self._time_decode("exact", self.our_vae(), latents)

    def check_decode(self) -> None:
        """Our decode against diffusers' own in one shot, on a corner that fits; another size, which compiles anew."""
        import torch

        if not self.parts or self.left_out(A_BLOCK_S, "error of the decode"):
            return
        with torch.inference_mode(), self.kept("exact"):
            corner = self._latents()[:, :, :4, :30, :40]
            pixels, expected = (
                vae.decode(corner, return_dict=False)[0] for vae in (self.our_vae(), self.parts["vae"])
            )
            self.result.timings["exact"].decode_relative_error = _relative_error(pixels, expected)

    def _time_decode(self, name: str, vae: Any, latents: Any) -> None:
        timing = self.result.timings.setdefault(name, Timing())
        if self.left_out(A_DECODE_S, f"{name}: decode"):
            return
        decode = partial(_decode, vae, latents)
        others = self.meter.forget_peak() - sum(_bytes(p) for p in vae.parameters()) / GIB
        (timing.decode_first_s, _), timing.decode_first = self._first(decode)
        for _ in range(2 if _streams(vae) else 0):
            timing.decodes_s.append(self.meter.timed(decode)[0])
        timing.decode_peak_gib = self.meter.peak()
        timing.decode_alone_gib = timing.decode_peak_gib - others if timing.decode_peak_gib else None
        if _streams(vae):
            timing.finish_s, _ = self.meter.timed(lambda: self._save(_streamed(vae, latents)))
        else:
            seconds, pixels = self.meter.timed(lambda: vae.decode(latents, return_dict=False)[0])
            timing.decodes_s.append(seconds)
            saving_s, _ = self.meter.timed(lambda: self._save(_as_bytes(pixels)))
            timing.finish_s = seconds + saving_s

    def _save(self, frames: Any) -> None:
        with TemporaryDirectory() as folder:
            Clip(frames, fps=self.task.fps or Fraction(8)).save(Path(folder) / "clip.mp4")

    def _first(self, work: Callable[[], Any]) -> tuple[tuple[float, Any], Start | None]:
        """The first run of something that compiles: how long it took, and whether graphs of an earlier process were
        there for it. What this process compiled before is neither."""
        from vitascope.engine.compile import graphs_so_far

        made, taken = graphs_so_far()
        timed = self.meter.timed(work)
        made, taken = (now - before for now, before in zip(graphs_so_far(), (made, taken), strict=True))
        return timed, "cold" if made else "warm" if taken else None

    def left_out(self, expected_s: float, what: str) -> bool:
        """Whether there is no time for something that takes so long; then the result says so."""
        if self.meter.has_time(expected_s):
            return False
        self.result.left_out.append(what)
        return True

    @contextmanager
    def taking(self, phase: str) -> Iterator[None]:
        """Notes how long a phase took."""
        begun = time.perf_counter()
        yield
        self.result.took_s[phase] = round(time.perf_counter() - begun, 1)

    @contextmanager
    def kept(self, name: str) -> Iterator[None]:
        """Keeps what was measured when one way of running fails, and goes on with the next."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  the next way shall be timed all the same
            timing = self.result.timings.setdefault(name, Timing())
            timing.failed = f"{type(error).__name__}: {error}"[:2000]
        finally:
            self.keep()

    def keep(self) -> None:
        """Hand out what was measured so far."""
        self._told(self.result)


def _call(module: Any, inputs: StepInputs) -> Any:
    """One step: the network, asked as often as the pipeline asks it."""
    for _ in range(inputs.num_calls):
        output = module(**inputs.arguments, return_dict=False)
    return output


def _decode(vae: Any, latents: Any) -> None:
    vae.decode(latents, return_dict=False)


def _streams(vae: Any) -> bool:
    return getattr(vae, "_vitascope_arriving", ()) is None


def _streamed(vae: Any, latents: Any) -> Any:
    """Frames that are written while later ones are decoded."""
    with streaming_vae.arriving(vae) as clips:
        vae.decode(latents)
    return clips[0]


def _as_bytes(pixels: Any) -> Any:
    """Frames as diffusers hands them out, all of them as floats, in bytes."""
    from diffusers.video_processor import VideoProcessor

    frames: Any = VideoProcessor().postprocess_video(pixels, output_type="np")
    return (frames[0] * 255).round().astype("uint8")


def _relative_error(output: Any, expected: Any) -> float:
    return float((output.float() - expected.float()).norm() / expected.float().norm())


def _bytes(tensor: Any) -> int:
    size: int = tensor.numel() * tensor.element_size()
    return size
