"""Fine-tuning end to end on tiny models: exact resume, files that plain diffusers reads, bad luck survived."""

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.generators import tiny_cogvideox
from tests.generators.tiny_hunyuan import save_hunyuan
from tests.generators.tiny_mochi import save_mochi
from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.engine.cpu_convolutions import use_onednn
from vitascope.engine.engine import Engine
from vitascope.engine.lora import LoraFile
from vitascope.engine.lora_files import convert, look_into
from vitascope.engine.placement import Placement
from vitascope.errors import (
    DiskFull,
    InvalidMedia,
    JobCancelled,
    OutOfMemory,
    RequestError,
    ResourceError,
    RunError,
)
from vitascope.generators import for_model
from vitascope.task import TextToVideo
from vitascope.training import Recipe, run
from vitascope.training.loop import Budget, Ranks, Schedule, Training, train

TRACKERS = {"every": 10, "trackers": []}


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Models and data that all tests share."""
    folder = tmp_path_factory.mktemp("room")
    tiny_cogvideox.save(folder / "2b")
    data = folder / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        frames = rng.integers(0, 255, (9, 32, 32, 3), dtype=np.uint8)
        Clip(frames, Fraction(8)).save(data / f"{i}.mp4")
        (data / f"{i}.txt").write_text("a red ball" if i % 2 else "a green fish moving left")
    return folder


def recipe(room, out, model="2b", **settings):
    given = {
        "name": "look",
        "model": str(room / model),
        "data": [{"path": str(room / "data"), "trigger": "star"}],
        "output": str(out),
        "steps": 6,
        "batch_size": 2,
        "saving": TRACKERS,
        "placement": {"device": "cpu"},
        "adapter": {"rank": 2},
    }
    return Recipe.model_validate(given | settings)


def weights(result):
    return load_file(result.lora)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_twenty_steps_are_ten_a_kill_and_ten(room, tmp_path):
    settings = {
        "steps": 20,
        "accumulate": 2,
        "saving": {**TRACKERS, "ema": 0.9},
        "adapter": {"rank": 2, "dropout": 0.0},
    }
    straight = run(recipe(room, tmp_path / "straight", **settings), Context())
    killed = recipe(room, tmp_path / "killed", **settings)
    code = (
        "import os, signal, sys\n"
        "from vitascope.context import Context\n"
        "from vitascope.training import Recipe, run\n"
        "def kill(progress):\n"
        "    if progress.stage == 'train' and progress.step == 13: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run(Recipe.model_validate_json(sys.argv[1]), Context(on_progress=kill))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, killed.model_dump_json()], capture_output=True, timeout=170
    )
    assert done.returncode == -9, done.stderr.decode()[-500:]
    assert [path.name for path in (tmp_path / "killed/checkpoints").iterdir()] == ["state-0000010.pt"]
    said = []
    resumed = run(killed, Context(), say=said.append)
    assert "goes on from step 10" in said[-1]
    assert same(weights(straight), weights(resumed))
    assert straight.lora.read_bytes() == resumed.lora.read_bytes(), "notes and their order too"
    assert (straight.steps, resumed.steps) == (20, 20)
    rows = [json.loads(line)["step"] for line in (tmp_path / "killed/log.jsonl").read_text().splitlines()]
    assert rows == [*range(1, 13), *range(11, 21)]


def test_a_stop_saves_and_another_recipe_does_not_go_on(room, tmp_path):
    cancel = threading.Event()

    def stop(progress):
        if progress.stage == "train" and progress.step == 3:
            cancel.set()

    asked = recipe(room, tmp_path / "run")
    with pytest.raises(JobCancelled, match="saved at step 3 of 6") as stopped:
        run(asked, Context(on_progress=stop, cancel=cancel))
    assert stopped.value.kept
    resumed = weights(run(asked, Context()))
    assert same(resumed, weights(run(recipe(room, tmp_path / "straight"), Context())))
    other = recipe(room, tmp_path / "run", seed=5)
    with pytest.raises(RequestError, match="other settings; start afresh"):
        run(other, Context())
    assert not same(weights(run(other, Context(), fresh=True)), resumed)


@pytest.mark.parametrize(
    "adapter",
    [
        {"rank": 2, "alpha": 8},
        {"rank": 4, "rslora": True, "targets": "all"},
        {"rank": 2, "alpha": 8, "dora": True},
    ],
    ids=["alpha is four times the rank", "rslora", "dora"],
)
def test_plain_diffusers_and_we_load_the_same(room, tmp_path, adapter):
    from diffusers import CogVideoXPipeline

    result = run(recipe(room, tmp_path / "run", adapter=adapter, optimiser={"lr": 0.05}), Context())
    engine = Engine(Placement(device="cpu"))

    def made(*loras):
        generator = for_model(
            str(room / "2b"), num_inference_steps=2, loras=tuple(str(lora) for lora in loras)
        )
        task = generator.complete(TextToVideo(prompt="star red ball", num_frames=9))
        return generator.generate([task], engine.modules(generator), Context())[0].array()

    ours = made(result.lora)
    pipe = CogVideoXPipeline.from_pretrained(room / "2b", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    use_onednn(pipe.vae)  # as ours decodes on a CPU, to compare bit by bit
    pipe.load_lora_weights(str(result.lora))
    theirs = pipe(
        ["star red ball"],
        negative_prompt=[""],
        num_inference_steps=2,
        num_frames=9,
        max_sequence_length=12,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).frames[0]
    assert np.array_equal(ours, (theirs * 255).round().astype(np.uint8))
    assert np.abs(ours.astype(int) - made()).max() > 5
    assert np.abs(made(result.comfyui).astype(int) - ours).max() <= 1
    for layout in ("diffusers", "peft"):
        converted = convert(LoraFile(result.lora), tmp_path / f"{layout}.safetensors", layout)
        assert np.abs(made(converted).astype(int) - ours).max() <= 1
    info = look_into(LoraFile(result.lora))
    assert info.ranks == (adapter["rank"],)
    assert info.is_dora is adapter.get("dora", False)
    assert info.metadata["trigger_words"] == "star"


def test_a_lora_of_another_architecture_is_refused_with_the_reason(room, tmp_path):
    result = run(recipe(room, tmp_path / "run", steps=1), Context())
    shutil.copytree(room / "2b", tmp_path / "deeper")
    config = tmp_path / "deeper/transformer/config.json"
    config.write_text(config.read_text().replace('"num_layers": 2', '"num_layers": 1'))
    generator = for_model(str(tmp_path / "deeper"), num_inference_steps=1, loras=(str(result.lora),))
    task = generator.complete(TextToVideo(prompt="ball", num_frames=9))
    modules = Engine(Placement(device="cpu")).modules(generator)
    with pytest.raises(InvalidMedia, match=r"for another model.*num_layers=2, this one has num_layers=1"):
        generator.generate([task], modules, Context())


@pytest.mark.parametrize("variant", ["5b-i2v", "1.5", "1.5-i2v", "mochi", "hunyuan"])
def test_every_family_learns(room, tmp_path, variant):
    model = room / variant
    if not model.exists():
        saves = {"mochi": save_mochi, "hunyuan": save_hunyuan}
        saves.get(variant, tiny_cogvideox.save)(model, *([variant] if variant[0] in "15" else []))
    settings = {"video": {"width": 32, "height": 32, "num_frames": 9}} if variant[0] in "15" else {}
    if variant[0] not in "15":
        shape = for_model(str(model)).profile()
        frames = 7 if variant == "mochi" else 9
        settings = {"video": {"width": 32, "height": 32, "num_frames": frames}}
        assert shape.size_multiple <= 32
    asked = recipe(
        room, tmp_path / "run", model=variant, steps=12, optimiser={"lr": 0.02}, batch_size=1, **settings
    )
    run(asked, Context())
    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in rows)


@pytest.mark.parametrize("placement", [{"base": "int8"}, {"base": "fp8", "checkpointing": "attention"}])
def test_frozen_weights_in_8_bits_learn_nearly_the_same(room, tmp_path, placement):
    def losses(name, **placement):
        run(recipe(room, tmp_path / name, placement={"device": "cpu", **placement}), Context())
        return [json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]

    full, small = losses("full", checkpointing="full"), losses("small", **placement)
    assert small != full
    assert np.allclose(small, full, rtol=0.1)
    assert losses("none", checkpointing="none") == pytest.approx(full, rel=1e-5), (
        "recomputing changes nothing"
    )


def test_a_corrupt_clip_is_named_and_left_out(room, tmp_path):
    data = shutil.copytree(room / "data", tmp_path / "data")
    whole = (data / "0.mp4").read_bytes()
    (data / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    (data / "cut.txt").write_text("a ball")
    context = Context()
    result = run(recipe(room, tmp_path / "run", data=[{"path": str(data)}]), context)
    assert (result.num_clips, result.num_left_out) == (5, 1)
    assert any("left out 'cut.mp4'" in line for line in context.warnings)
    for path in data.glob("?.mp4"):
        path.write_bytes(b"nothing")
    with pytest.raises(RequestError, match=r"all 6 clips were left out, first '0\.mp4'"):
        run(recipe(room, tmp_path / "none", data=[{"path": str(data)}]), Context())


def test_sizes_and_targets_that_do_not_exist(room, tmp_path):
    with pytest.raises(RequestError, match=r"num_frames=10.*nearest: 9"):
        run(recipe(room, tmp_path / "a", video={"num_frames": 10}), Context())
    with pytest.raises(RequestError, match=r"no linear layer ends in 'to_z'.*attn1.to_q"):
        run(recipe(room, tmp_path / "b", adapter={"targets": ["to_z"]}), Context())
    with pytest.raises(OutOfMemory, match=r"needs about .* and 0.1 may be used"):
        run(recipe(room, tmp_path / "c", placement={"device": "cpu", "memory_gib": 0.1}), Context())
    with pytest.raises(RequestError, match=r"cannot be fine-tuned"):
        run(recipe(room, tmp_path / "d").model_copy(update={"model": "colour-bars"}), Context())


def test_a_full_disk_keeps_the_checkpoint_before(room, tmp_path):
    asked = recipe(room, tmp_path / "run", steps=4, saving={"every": 2, "trackers": []})

    def fill(progress):
        if progress.stage == "train" and progress.step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))

    try:
        with pytest.raises(DiskFull, match=r"kept|no space"):
            run(asked, Context(on_progress=fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["state-0000002.pt"]
    assert run(asked, Context()).steps == 4


def test_where_nothing_can_be_written_nothing_is_begun(room, tmp_path):
    (tmp_path / "file").write_text("mine")
    begun = []
    with pytest.raises(RequestError, match=r"file' is a file; give the name of a folder"):
        run(recipe(room, tmp_path / "file"), Context(on_progress=begun.append))
    with pytest.raises(ResourceError, match="cannot write"):
        run(recipe(room, "/proc/nowhere/run"), Context(on_progress=begun.append))
    assert not begun


def test_a_result_of_no_finite_numbers_is_not_written(room, tmp_path):
    run(recipe(room, tmp_path / "run", steps=1), Context())
    (tmp_path / "run/look.safetensors").unlink()
    path = tmp_path / "run/checkpoints/state-0000001.pt"
    state = torch.load(path, weights_only=True)
    next(iter(state["modules"]["transformer"].values())).fill_(float("nan"))
    torch.save(state, path)
    with pytest.raises(RunError, match=r"step 2 the adapter holds .* not finite; lower optimiser.lr"):
        run(recipe(room, tmp_path / "run", steps=2), Context())
    assert not (tmp_path / "run/look.safetensors").exists()


def test_steps_without_a_gradient_change_nothing_and_ten_end_the_run():
    layer = torch.nn.Linear(2, 1)
    training = Training(
        {"net": layer}, {"sgd": torch.optim.SGD(layer.parameters(), lr=1.0)}, Ranks.join("cpu")
    )
    before = layer.weight.detach().clone()

    def bad(_number, _elapsed):
        return {"loss": layer(torch.ones(1, 2)).sum() * float("nan")}

    with pytest.raises(RunError, match="10 steps in a row up to step 9"):
        train(training, bad, Schedule(0), Budget(until=20))
    assert torch.equal(layer.weight, before)


def by_two_processes(what, folder):
    code = "import sys; from vitascope.context import Context; from vitascope.training import Recipe, run\n"
    (folder / "two.py").write_text(code + "run(Recipe.model_validate_json(sys.argv[1]), Context())\n")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(folder / "two.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, what.model_dump_json()], check=True, env=environment, timeout=170)
    return load_file(what.folder / "look.safetensors")


@pytest.mark.slow
def test_a_process_whose_share_of_the_clips_is_empty_joins_in(room, tmp_path):
    (tmp_path / "data").mkdir()
    for file in ("0.mp4", "0.txt"):
        shutil.copy(room / "data" / file, tmp_path / "data" / file)
    lonely = recipe(room, tmp_path / "out", data=[{"path": str(tmp_path / "data")}], steps=1)
    assert by_two_processes(lonely, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "fsdp2"])
def test_two_processes_learn_from_twice_the_batch(room, tmp_path, sharding):
    placement = {"device": "cpu", "sharding": sharding}
    two = recipe(
        room,
        tmp_path / "two",
        batch_size=1,
        steps=4,
        placement=placement,
        saving={"every": 2, "trackers": []},
    )
    whole = by_two_processes(two, tmp_path)
    (two.folder / "checkpoints/state-0000004.pt").unlink()
    assert same(by_two_processes(two, tmp_path), whole), "it goes on from step 2 to the same bits"
    # The same batches, added up by one process: gradients are means, so they agree to rounding.
    one = run(recipe(room, tmp_path / "one", batch_size=1, accumulate=2, steps=4), Context())
    alone = weights(one)
    assert alone.keys() == whole.keys()
    assert not same(alone, whole), "the second process draws noise of its own"
