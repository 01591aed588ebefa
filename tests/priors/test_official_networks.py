"""Released layouts: recorded state dicts load strictly and reproduce their recorded outputs; published sizes; any size.

Tolerance of the recordings: atol 1e-5, rtol 1e-4 in float32, sums in another order; outputs are of size 5 to 10.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from import_helpers import recorded_nets
from safetensors.torch import load_file
from torch import Tensor, nn

from priors.networks.official import daclip, irsde, rddm, refusion, resfusion, resshift, vqgan

Tensors = Mapping[str, Tensor]

# fixture: (module, constructor, names of the recorded inputs in the order of our forward)
FIXTURES = {
    "rddm_two_unets": ("rddm", "rddm", ("x", "time")),
    "rddm_single_unet": ("rddm", "rddm", ("x", "time")),
    "rddm_shared_encoder": ("rddm", "rddm", ("x", "time")),
    "resfusion_unet": ("resfusion", "ResfusionUNet", ("x", "time", "input_cond")),
    "resfusion_unet_mask": ("resfusion", "ResfusionUNet", ("x", "time", "input_cond", "mask_cond")),
    "irsde_unet": ("irsde", "IRSDEUNet", ("xt", "time", "cond")),
    "refusion_nafnet": ("refusion", "RefusionNAFNet", ("xt", "time", "cond")),
    "mrs_daclip_unet": ("daclip", "DACLIPUNet", ("xt", "time", "cond", "text_context", "image_context")),
    "resshift_swinunet": ("resshift", "SwinUNet", ("x", "timesteps", "lq")),
    "resshift_swinunet_mask": ("resshift", "SwinUNet", ("x", "timesteps", "lq", "mask")),
}

WIDTHS = (64, 64, 128, 256, 512)


def load_fixture(name: str) -> tuple[Tensors, Tensors]:
    folder = recorded_nets()
    return load_file(folder / f"{name}.safetensors"), load_file(folder / f"{name}.io.safetensors")


def rebuilt(module: str, constructor: str, state: Tensors) -> nn.Module:
    layout = importlib.import_module(f"priors.networks.official.{module}")
    network = getattr(layout, constructor)(**layout.recognise({k: tuple(v.shape) for k, v in state.items()}))
    network.load_state_dict(state, strict=True)
    return network.eval()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", FIXTURES)
def test_a_recorded_network_loads_strictly_and_gives_its_recorded_output(name: str) -> None:
    module, constructor, inputs = FIXTURES[name]
    state, recorded = load_fixture(name)
    network = rebuilt(module, constructor, state)
    with torch.no_grad():
        out = network(*(recorded[f"in.{key}"] for key in inputs))
    heads = out if isinstance(out, tuple) else (out,)
    wanted = [recorded[key] for key in sorted(recorded) if key.startswith("out.")]
    assert len(heads) == len(wanted)
    for head, want in zip(heads, wanted, strict=True):
        torch.testing.assert_close(head, want, atol=1e-5, rtol=1e-4)


def test_the_recorded_autoencoder_loads_strictly_and_gives_its_recorded_outputs() -> None:
    state, recorded = load_fixture("resshift_vqgan")
    network = rebuilt("vqgan", "VQGAN", state)
    with torch.no_grad():
        z = network.encode(recorded["in.x"])
        codes, index = network.quantise(recorded["out.z"])
        picture, unquantised = network.decode(recorded["out.z"]), network.decode_features(recorded["out.z"])
    torch.testing.assert_close(z, recorded["out.z"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(codes, recorded["out.quant"], atol=1e-5, rtol=1e-4)
    assert torch.equal(index.flatten(), recorded["out.indices"])
    torch.testing.assert_close(picture, recorded["out.decode"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(unquantised, recorded["out.decode_no_quant"], atol=1e-5, rtol=1e-4)


def swin(**changed: Any) -> nn.Module:
    released = {
        "channels_in": 3,
        "channels": 3,
        "width": 160,
        "multipliers": (1, 2, 2, 4),
        "blocks": (2, 2, 2, 2),
        "swin": (True,) * 4,
        "image_size": 64,
        "lq_stages": 0,
        "lq_channels": 3,
        "embedding": 192,
        "depth": 2,
        "heads": 6,
        "window": 8,
        "mlp_ratio": 4,
    }
    return resshift.SwinUNet(**{**released, **changed})


def autoencoder(
    width: int, multipliers: tuple[int, ...], blocks: tuple[int, ...], latent: int, codes: int
) -> nn.Module:
    return vqgan.VQGAN(
        channels=3,
        width=width,
        multipliers=multipliers,
        blocks=blocks,
        latent=latent,
        embedding=latent,
        codes=codes,
    )


# (network of the released size, millions of parameters, tensors of the file), as counted in the released files
RELEASED: dict[str, tuple[Callable[[], nn.Module], float, int]] = {
    "rddm, two networks": (lambda: rddm.rddm(encoder="two", channels=3, channels_in=6, widths=WIDTHS), 72.52, 552),
    "rddm, one network": (lambda: rddm.rddm(encoder="single", channels=3, channels_in=6, widths=WIDTHS), 36.26, 276),
    "rddm, shared": (lambda: rddm.rddm(encoder="shared", channels=3, channels_in=6, widths=WIDTHS), 51.98, 396),
    "resfusion": (lambda: resfusion.ResfusionUNet(channels=3, channels_in=6, widths=WIDTHS), 36.26, 276),
    "ir-sde": (lambda: irsde.IRSDEUNet(channels=3, channels_in=3, widths=(64, 128, 256, 512, 1024)), 137.15, 151),
    "refusion": (
        lambda: refusion.RefusionNAFNet(
            channels=3, channels_in=3, width=64, encoders=(1, 1, 1, 28), middle=1, decoders=(1, 1, 1, 1)
        ),
        76.61,
        668,
    ),
    "da-clip": (lambda: daclip.DACLIPUNet(channels=3, channels_in=3, widths=WIDTHS, context_width=512), 48.98, 224),
    "resshift x4": (lambda: swin(), 118.59, 564),
    "resshift x2": (lambda: swin(lq_stages=1), 118.64, 568),
    "resshift inpainting": (lambda: swin(lq_stages=2, lq_channels=4), 118.71, 572),
    "resshift faces": (lambda: swin(lq_stages=3, channels_in=8, channels=8), 118.93, 576),
    "autoencoder f4": (lambda: autoencoder(128, (1, 2, 4), (2, 2, 2), 3, 8192), 55.32, 205),
    "autoencoder f8": (lambda: autoencoder(64, (1, 2, 4, 8), (1, 2, 3, 4), 8, 4096), 77.01, 285),
}


@pytest.mark.parametrize("name", RELEASED)
def test_a_network_of_the_released_settings_has_the_released_size(name: str) -> None:
    build, millions, tensors = RELEASED[name]
    with torch.device("meta"):
        network = build()
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions
    assert len(network.state_dict()) == tensors


@pytest.mark.parametrize("name", RELEASED)
def test_the_settings_of_a_released_size_are_recognised_from_its_shapes(name: str) -> None:
    with torch.device("meta"):
        first = RELEASED[name][0]()
        shapes = {key: tuple(value.shape) for key, value in first.state_dict().items()}
        layout = importlib.import_module(type(first).__module__)
        constructor = rddm.rddm if layout is rddm else type(first)
        again = constructor(**layout.recognise(shapes))
    assert {key: tuple(value.shape) for key, value in again.state_dict().items()} == shapes


SMALL: dict[str, Callable[[], nn.Module]] = {
    "rddm": lambda: rddm.rddm(encoder="single", channels=3, channels_in=6, widths=(16, 16, 32, 32)),
    "shared": lambda: rddm.rddm(encoder="shared", channels=3, channels_in=6, widths=(16, 16, 32)),
    "ir-sde": lambda: irsde.IRSDEUNet(channels=3, channels_in=3, widths=(16, 16, 32, 32)),
    "da-clip": lambda: daclip.DACLIPUNet(channels=3, channels_in=3, widths=(32,) * 5, context_width=8),
    "refusion": lambda: refusion.RefusionNAFNet(
        channels=3, channels_in=3, width=8, encoders=(1, 1), middle=1, decoders=(1, 1)
    ),
    "resshift": lambda: swin(
        width=32,
        multipliers=(1, 2),
        blocks=(1, 1),
        swin=(True, True),
        image_size=8,
        embedding=32,
        heads=2,
        window=4,
        mlp_ratio=2,
    ),
}


@pytest.mark.parametrize("size", [(1, 1), (7, 19), (24, 8)])
@pytest.mark.parametrize("name", SMALL)
def test_a_released_layout_takes_any_size(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = SMALL[name]().eval()
    x, y = torch.randn(2, 3, *size), torch.randn(2, 3, *size)
    with torch.no_grad():
        out = network(x, torch.tensor([1.0, 3.0]), y)
    for head in out if isinstance(out, tuple) else (out,):
        assert head.shape == x.shape
        assert bool(torch.isfinite(head).all())


def test_windows_of_a_larger_grid_are_masked_like_those_of_the_training_grid() -> None:
    # a shifted window block sees no further than its windows: far away, a larger grid gives what the small one gives
    from priors.networks.official.swin import SwinBlock

    torch.manual_seed(0)
    settings = {"heads": 2, "window": 4, "shift": 2, "mlp_ratio": 2.0}
    small = SwinBlock(32, resolution=8, **settings).eval()
    large = SwinBlock(32, resolution=16, **settings).eval()
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.normal_(std=0.3)
        large.load_state_dict({**small.state_dict(), "attn_mask": large.attn_mask})
        x = torch.randn(1, 32, 16, 16)
        torch.testing.assert_close(small(x), large(x), atol=1e-5, rtol=1e-4)


def test_a_condition_on_another_grid_is_refused_by_name() -> None:
    from operators.common.errors import BadInput

    with pytest.raises(BadInput, match="the same batch, height and width"):
        SMALL["ir-sde"]()(torch.zeros(1, 3, 8, 8), torch.ones(1), torch.zeros(1, 3, 8, 4))
    with pytest.raises(BadInput, match="1 times the state's sides"):
        SMALL["resshift"]()(torch.zeros(1, 3, 8, 8), torch.ones(1), torch.zeros(1, 3, 16, 16))


def test_without_contexts_the_da_clip_network_leaves_the_prompt_out() -> None:
    torch.manual_seed(0)
    network = SMALL["da-clip"]().eval()
    with torch.no_grad():
        network.prompt.normal_()
        x, y, t = torch.randn(1, 3, 16, 16), torch.randn(1, 3, 16, 16), torch.tensor([40.5])
        bare, zeros = network(x, t, y), network(x, t, y, None, torch.zeros(1, 8))
        prompted = network(x, t, y, torch.randn(1, 8))
    torch.testing.assert_close(bare, zeros)
    assert float((prompted - bare).abs().max()) > 1e-4
