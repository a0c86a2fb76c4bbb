"""Open-Sora 1.2 against what upstream's code computed, for every case that there is."""

from __future__ import annotations

import json

import torch
from torch import Tensor

from tests.parity.golden import Case, cases, compare, compare_all, golden_root, released_shapes, say
from vitascope.models.opensora.autoencoder import AutoencoderKLOpenSora
from vitascope.models.opensora.convert import convert_stdit3, convert_vae, stdit3_config, vae_config
from vitascope.models.opensora.presets import NUM_FRAMES, preset_size
from vitascope.models.opensora.sampler import denoise
from vitascope.models.opensora.scheduler import OpenSoraScheduler
from vitascope.models.opensora.stdit3 import STDiT3, position_embedding

SYSTEM = "opensora-1.2"
SIZES = ("height", "width", "num_frames")


def cases_with(fixture: str) -> list[Case]:
    return [case for case in cases(SYSTEM) if fixture in case.names]


@torch.no_grad()
def test_denoiser():
    for case in cases_with("stdit3"):
        model = STDiT3(**stdit3_config(case.config["stdit3"]["config"])).eval()
        model.load_state_dict(convert_stdit3(case.group("stdit3", "sd.")))
        given = case.group("stdit3", "in.")
        batch = len(given["x"])
        args = {
            "hidden_states": given["x"],
            "timestep": given["timestep"],
            "encoder_hidden_states": given["y"].squeeze(1),
            "fps": given["fps"].repeat(batch // len(given["fps"])),
            "height": given["height"][0].item(),
            "width": given["width"][0].item(),
        }
        if "mask" in given:
            args["encoder_attention_mask"] = given["mask"].repeat(batch // len(given["mask"]), 1)
        sides = zip(given["x"].shape[-2:], model.config.patch_size[1:], strict=True)
        rows, columns = (-(-size // patch) for size, patch in sides)
        scale = (args["height"] * args["width"]) ** 0.5 / model.config.base_resolution
        places = position_embedding(rows, columns, scale, like=torch.zeros(model.inner_dim))
        computed = {
            "out_nomask": model(**args).sample,
            "pos_emb": places,
            "t_emb": model._embed_time(given["timestep"], args["fps"]),
        }
        if "x_mask" in given:
            computed["out_xmask"] = model(**args, frame_mask=given["x_mask"]).sample
        compare_all(case, "stdit3", computed, 1e-5)


def tiny_vae(case: Case) -> AutoencoderKLOpenSora:
    published = case.config["vae"]["config"]
    spatial, temporal = published["spatial"], published["temporal"]
    vae = AutoencoderKLOpenSora(
        **vae_config(published),
        spatial_block_out_channels=spatial["block_out_channels"],
        spatial_layers_per_block=spatial["layers_per_block"],
        spatial_norm_num_groups=spatial["norm_num_groups"],
        temporal_block_out_channels=[temporal["filters"] * m for m in temporal["channel_multipliers"]],
        temporal_layers_per_block=temporal["num_res_blocks"],
        temporal_norm_num_groups=temporal["num_groups"],
        temporal_downsample=temporal["temporal_downsample"],
    )
    vae.load_state_dict(convert_vae(case.group("vae", "sd.")))
    return vae.eval()


@torch.no_grad()
def test_autoencoder():
    for case in cases_with("vae"):
        vae = tiny_vae(case)
        pixels, expected = case.group("vae", "in.")["x"], case.group("vae", "out.")
        num_frames = pixels.shape[2]
        whole = vae.temporal_vae.encode(expected["spatial_latent_mode"])
        computed = {
            # Upstream counts 8 pixels a latent whatever the network, so only its count of frames means something.
            "latent_size": torch.cat(
                [torch.tensor([vae.num_latent_frames(num_frames)]), expected["latent_size"][1:]]
            ),
            "spatial_latent_mode": vae.encode_frames(pixels, sample_posterior=False),
            "temporal_moments_whole_clip": whole.parameters,
            "temporal_decoded_whole_clip": vae.temporal_vae.decode(whole.mode(), num_frames),
            "latent_mode": vae.encode(pixels, sample_posterior=False),
            "decoded": vae.decode(expected["latent_mode"], num_frames),
        }
        compare_all(case, "vae", computed, 2e-5)


def test_sampler():
    for case in cases_with("rflow"):
        settings = case.config["rflow"]["config"]
        given, expected = case.group("rflow", "in."), case.group("rflow", "out.")
        batch = len(given["z0"])
        replays = [replay(settings, given, sample) for sample in range(batch)]
        final, timesteps, seen = (
            torch.cat(parts, dim=at) for parts, at in zip(zip(*replays, strict=True), (0, 1, 1), strict=True)
        )
        compare(case, "final", final, expected["final"], 1e-4 * expected["final"].abs().max().item())
        compare(case, "t", timesteps.repeat(1, 2), expected["t"], 1e-4 * expected["t"].max().item())
        largest = expected["z_in"].abs().max().item()
        compare(case, "z_in", seen.repeat(1, 2, 1, 1, 1, 1), expected["z_in"], 1e-4 * largest)
        noised = OpenSoraScheduler().add_noise(given["z0"], given["noises"][0], torch.tensor(312.5))
        compare(case, "add_noise", noised, expected["add_noise"], 1e-6)


def replay(settings: dict, given: dict[str, Tensor], sample: int) -> tuple[Tensor, Tensor, Tensor]:
    """Denoise one sample with upstream's predictions and noise; sizes, so timesteps, can differ by sample."""
    scheduler = OpenSoraScheduler(
        num_train_timesteps=settings["num_timesteps"],
        use_timestep_transform=settings["use_timestep_transform"],
        use_discrete_timesteps=settings["use_discrete_timesteps"],
    )
    size = {name: int(settings["args"][name][sample]) for name in SIZES if name in settings["args"]}
    scheduler.set_timesteps(settings["num_sampling_steps"], **size)
    batch, channels = given["z0"].shape[:2]
    timesteps, seen = [], []
    noises = iter(given["noises"][:, sample, None])

    def predict(latents: Tensor, timestep: Tensor, active: Tensor | None) -> Tensor:
        with_caption, without = (
            given["preds"][len(seen), row, None, :channels] for row in (sample, batch + sample)
        )
        timesteps.append(timestep[None])
        seen.append(latents)
        return without + settings["cfg_scale"] * (with_caption - without)

    final = denoise(
        scheduler,
        predict,
        given["z0"][sample, None],
        given["mask"][sample, None] if settings["masked"] else None,
        lambda like: next(noises),
    )
    return final, torch.stack(timesteps), torch.stack(seen)


def test_presets():
    with torch.device("meta"):
        vae = AutoencoderKLOpenSora()
    for file in (golden_root() / SYSTEM).glob("presets.json"):
        presets = json.loads(file.read_text())
        for resolution, sizes in presets["resolutions"].items():
            for ratio, size in sizes.items():
                assert preset_size(resolution, ratio) == tuple(size)
        assert presets["num_frames_alias"] == NUM_FRAMES
        for num_frames, (latent_frames, *_) in presets["latent_size_for_num_frames_240x426"].items():
            assert vae.num_latent_frames(int(num_frames)) == latent_frames
        say(f"{SYSTEM} presets: {len(presets['resolutions'])} resolutions equal")


def test_released_checkpoints_fill_every_parameter():
    """Nothing missing, nothing over, every shape right, at the published size."""
    listed = released_shapes(SYSTEM)
    vae = {"scale": (1, 4, 1, 1, 1), "shift": (1, 4, 1, 1, 1)}
    vae.update({key: shape for net in listed if net.startswith("vae_") for key, shape in listed[net].items()})
    with torch.device("meta"):
        pairs = [
            (STDiT3, convert_stdit3, listed.get("stdit3_xl2", {})),
            (AutoencoderKLOpenSora, convert_vae, vae),
        ]
        for build, convert, shapes in pairs:
            if len(shapes) <= 2:
                say(f"{SYSTEM} {build.__name__}: no list of keys, left out")
                continue
            published = {key: torch.empty(shape) for key, shape in shapes.items()}
            ours = {key: tuple(tensor.shape) for key, tensor in build().state_dict().items()}
            assert {key: tuple(tensor.shape) for key, tensor in convert(published).items()} == ours
            say(f"{SYSTEM} {build.__name__}: {len(shapes)} published tensors fill {len(ours)} of ours")
