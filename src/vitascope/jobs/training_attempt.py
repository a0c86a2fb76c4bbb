"""One attempt at a fine-tuning: from the order to a LoRA that its tenant's requests can name."""

from __future__ import annotations

import gc
import json
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from threading import Event
from typing import TYPE_CHECKING, Any

from vitascope.context import Context, Progress
from vitascope.engine.peak import MemoryPeak
from vitascope.errors import JobCancelled, RequestError
from vitascope.jobs.artifacts import Artifacts
from vitascope.jobs.house import DATA, DATASETS, ENCODED, LORA, LORA_COMFYUI, RUN, SAMPLES, TRAINING_CARD
from vitascope.jobs.moderation import ModerationBlocked
from vitascope.jobs.progress import REPORT_EVERY_S, percent_of
from vitascope.jobs.record import Job
from vitascope.jobs.rules import finished
from vitascope.jobs.training_order import localised, with_clients_names
from vitascope.jobs.uploads import keep_lora
from vitascope.media import read, thumbnail, write, write_image
from vitascope.recipe import Recipe as ClipRecipe
from vitascope.recipe import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vitascope.jobs.attempt import JobRunner
    from vitascope.training.finetune import Result
    from vitascope.training.recipe import Recipe

NUM_POINTS = 240  # of the curve in a job's record
PACE_OVER = 20  # steps


def train(runner: JobRunner, job: Job, owner: str) -> None:
    """Make the LoRA of a job, going on from its last checkpoint; its end is in the ledger.

    Raises: JobCancelled if it was paused (after saving a checkpoint), cancelled or taken over; as `training.run`.
    """
    from vitascope.training import run

    assert job.order.training is not None, "asked for trainings alone"
    house, folder = runner.house, runner.house.job(job.id)
    _newest_copy(house.artifacts, house.named(job.id))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    placement = runner.engine.placement.resolve()
    recipe = localised(job.order.training.recipe, folder, house.artifacts, placement.device)
    watch = TrainingWatch(runner, job, owner, recipe, folder)
    settings = Context().settings.model_copy(update={"home": folder / ENCODED})  # nothing outlives the job
    context = Context(on_progress=watch, cancel=watch.cancel, settings=settings)
    context.progress("load", 0, 0)
    runner.engine.evict_all()  # a training wants the whole device
    started = time.monotonic()
    with MemoryPeak() as peak, _memory_given_back():
        try:
            result = run(recipe, context, say=watch.note)
        except RequestError as error:
            raise RequestError(_without_places(str(error), folder), param=error.param) from error
        except JobCancelled:
            watch.mirror()  # of a paused one, the checkpoint that it has just saved
            raise
    watch.publish_samples()
    context.check_cancelled()
    lora = _deliver(result, runner, job, recipe.name, folder)
    measured = {
        **watch.result(),
        "warnings": [_without_places(line, folder) for line in context.warnings],
        "inference_time_s": round(time.monotonic() - started, 3),
        "memory_gib": peak.gib,
        "machine": peak.device,
        "num_clips": result.num_clips,
        "num_left_out": result.num_left_out,
        "lora": lora,
    }
    if runner.ledger.complete(job.id, owner, runner.lifetime_s, result=measured):
        house.forget_work(job.id)
        if house.store:
            house.artifacts.leave(house.named(job.id))


def _deliver(result: Result, runner: JobRunner, job: Job, name: str, folder: Path) -> str:
    """Put what a training made where its tenant finds it; gives the name under which requests ask for the LoRA."""
    house = runner.house
    for made, kept in ((result.lora, LORA), (result.comfyui, LORA_COMFYUI)):
        shutil.copyfile(made, folder / kept)
    card = result.card.read_text(encoding="utf-8")
    (folder / TRAINING_CARD).write_text(_without_places(card, folder), encoding="utf-8")
    house.artifacts.put(*(house.named(job.id, kept) for kept in (LORA, LORA_COMFYUI, TRAINING_CARD)))
    return keep_lora(house, runner.ledger.engine, job.id, job.tenant, name, folder / LORA, runner.lifetime_s)


@dataclass
class TrainingWatch:
    """Listens to one attempt: writes its numbers and samples down, and stops it once it has lost its job.

    A job that was paused is let save a checkpoint first; one that was cancelled or taken over is dropped at once.
    """

    runner: JobRunner
    job: Job
    owner: str
    recipe: Recipe
    folder: Path
    cancel: Event = field(default_factory=Event)
    stage: str = ""
    percent: int = 0
    _written_at: float = -1.0
    _points: dict[int, tuple[float, float]] = field(default_factory=dict)  # step: loss, learning rate
    _read_to: int = 0
    _samples: list[dict[str, Any]] = field(default_factory=list)
    _times: list[float] = field(default_factory=list)
    _left: int = 0
    _notes: list[str] = field(default_factory=list)
    _stored: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._samples = list(self.job.result.get("samples", []))
        self.percent = self.job.progress

    def note(self, line: str) -> None:
        """Keep what the training says before it starts: clips, estimate, from which step it goes on."""
        self._notes.append(_without_places(line, self.folder))

    def __call__(self, progress: Progress) -> None:
        """Note one tick. Raises: JobCancelled if the job was cancelled or another attempt has it."""
        now = time.monotonic()
        if progress.stage == "train":
            self._times = [*self._times[-PACE_OVER:], now]
            self._left = progress.total - progress.step
        self.percent = max(self.percent, percent_of(progress))
        if progress.stage == self.stage and now - self._written_at < REPORT_EVERY_S:
            held = self.runner.ledger.is_held(self.job.id, self.owner)
        else:
            self.stage, self._written_at = progress.stage, now
            self.publish_samples()
            self.mirror()
            values = {"stage": progress.stage, "step": progress.step, "total": progress.total}
            held = self.runner.ledger.report(
                self.job.id, self.owner, progress=self.percent, result=self.result(), **values
            )
        if not held:
            left = self.runner.ledger.get(self.job.id)
            if left is None or left.status != "paused":
                raise JobCancelled("the training was cancelled, or another worker has taken it over")
            self.cancel.set()

    def result(self) -> dict[str, Any]:
        """The numbers so far. Units: `step_s`, `eta_s` in seconds."""
        self._read_log()
        pace = [after - before for before, after in zip(self._times, self._times[1:], strict=False)]
        step_s = median(pace) if pace else None
        last = self._points[max(self._points)] if self._points else (None, None)
        return {
            "curve": _thinned(sorted((step, loss) for step, (loss, _) in self._points.items())),
            "loss": last[0],
            "learning_rate": last[1],
            "step_s": None if step_s is None else round(step_s, 4),
            "eta_s": None if step_s is None else round(step_s * self._left, 1),
            "samples": self._samples,
            "notes": self._notes,
        }

    def _read_log(self) -> None:
        """Take in the lines that were added to the run's log; a step that was run again counts as it was last."""
        log = self.folder / RUN / "log.jsonl"
        if not log.is_file():
            return
        with log.open("rb") as stream:
            stream.seek(self._read_to)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._read_to += len(line)
                entry = json.loads(line)
                self._points[int(entry["step"])] = (float(entry["loss"]), float(entry["lr"]))

    def publish_samples(self) -> None:
        """Put new sample clips where clients find them, judged and labelled as every clip of this service is."""
        known = {sample["name"] for sample in self._samples}
        for path in sorted((self.folder / RUN / SAMPLES).glob("step-*.mp4")):
            if path.stem in known:
                continue
            _, step, number = path.stem.split("-")
            prompt = self.recipe.validation.prompts[int(number) - 1]
            clip, knobs = read(path), {"step": int(step), "training": self.job.id}
            made = ClipRecipe().then(Stage(kind="generator", name=self.recipe.name, knobs=knobs))
            try:
                shown = finished(
                    replace(clip, recipe=made), self.job.order.model_copy(update={"prompt": prompt})
                )
            except ModerationBlocked as error:
                self._notes.append(f"a sample of step {int(step)} is not shown: {error}")
                path.unlink()
                continue
            folder = self.folder / SAMPLES
            folder.mkdir(exist_ok=True, mode=0o700)
            label = shown.recipe.labels.aigc
            write_image(thumbnail(shown, max_side=384), folder / f"{path.stem}.webp", label=label)
            write(shown, folder / f"{path.stem}.mp4")
            named = self.runner.house.named(self.job.id, SAMPLES)
            self.runner.house.artifacts.put(f"{named}/{path.stem}.webp", f"{named}/{path.stem}.mp4")
            self._samples.append({"name": path.stem, "step": int(step), "prompt": prompt})

    def mirror(self) -> None:
        """Send new checkpoints to the store, so that any machine can go on from them; old ones go there too."""
        artifacts = self.runner.house.artifacts
        if not artifacts.url:
            return
        named = self.runner.house.named(self.job.id, f"{RUN}/checkpoints")
        here = {path.name for path in (self.folder / RUN / "checkpoints").glob("state-*.pt")}
        if not here - self._stored:
            return
        artifacts.put(*(f"{named}/{name}" for name in sorted(here - self._stored)))
        artifacts.put(self.runner.house.named(self.job.id, f"{RUN}/log.jsonl"))
        for name in self._stored - here:
            artifacts.remove(f"{named}/{name}")
        self._stored = here


def _newest_copy(artifacts: Artifacts, name: str) -> None:
    """Have the job's folder here as the store has it: another machine may have gone further."""
    if artifacts.url:
        artifacts.leave(name)
        artifacts.fetch(name)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `NUM_POINTS` of a curve: means of stretches of equal length, each at its last step."""
    width = -(-len(points) // NUM_POINTS) or 1
    stretches = [points[at : at + width] for at in range(0, len(points), width)]
    return [(part[-1][0], round(sum(loss for _, loss in part) / len(part), 5)) for part in stretches]


def _without_places(text: str, folder: Path) -> str:
    """A text that tells a client nothing of this machine's disk."""
    offered = folder.parents[1] / DATASETS
    places = (
        f"{folder / RUN}/",
        str(folder / RUN),
        f"{folder / DATA}/",
        f"{folder}/",
        str(folder),
        f"{offered}/",
    )
    for place in places:
        text = text.replace(place, "")
    return with_clients_names(text, folder)


@contextmanager
def _memory_given_back() -> Iterator[None]:
    """Afterwards the device is as empty as before."""
    import torch

    try:
        yield
    finally:
        gc.collect()  # what was trained holds itself in circles
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
