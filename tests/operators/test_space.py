"""Spaces say what numbers are in a picture's units; operators and problems can be seen from them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import operators
from operators import BadInput, BadType
from operators.common.space import IDENTITY, Affine, Latent
from operators.core.posing import Decode, InSpace, apart


def half(picture: tuple[int, ...]) -> tuple[int, ...]:
    return (picture[0], picture[1] // 2, picture[2] // 2)


def twice(z: Tensor) -> Tensor:
    return z.repeat_interleave(2, -1).repeat_interleave(2, -2)


BLOCKS = Latent(lambda x: x[..., ::2, ::2], twice, half)


def test_affine_units_compose_and_lead_back() -> None:
    hu, prior = Affine(0.02, 2e-5), Affine(-200.0, 800.0)
    z = torch.linspace(-1, 1, 7, dtype=torch.float64)
    torch.testing.assert_close((hu @ prior).to(z), hu.to(prior.to(z)))
    torch.testing.assert_close((hu @ prior).back(hu.to(prior.to(z))), z)
    assert (hu @ prior).scale == hu.scale * prior.scale
    assert IDENTITY @ hu == hu == hu @ IDENTITY


@pytest.mark.parametrize("numbers", [(0.0, 0.0), (0.0, -1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_units_that_lose_the_picture_are_refused(numbers: tuple[float, float]) -> None:
    with pytest.raises(BadInput, match="scale"):
        Affine(*numbers)


def test_a_chain_of_spaces_is_its_links_one_after_another() -> None:
    chain = Affine(0.5, 0.25) @ BLOCKS @ Affine(0.0, 3.0)
    z = torch.randn(2, 1, 3, 4)
    torch.testing.assert_close(chain.to(z), 0.5 + 0.25 * twice(3.0 * z))
    torch.testing.assert_close(chain.back(chain.to(z)), z)
    assert chain.own_shape((1, 6, 8)) == (1, 3, 4)


def test_a_latent_space_without_an_encoder_says_so() -> None:
    with pytest.raises(BadInput, match="no encoder"):
        Latent(None, twice, half).back(torch.zeros(1, 1, 4, 4))


def test_an_operator_seen_from_a_space_is_differentiated_through_it() -> None:
    space = Affine(0.1, 2.0) @ BLOCKS
    seen = InSpace(operators.build("hdr", (1, 6, 8)), space)
    z, u = (torch.rand(1, 1, *size, dtype=torch.float64) * 0.2 for size in ((3, 4), (6, 8)))
    step = torch.rand_like(z)
    torch.testing.assert_close((seen.vjp(z, u) * step).sum(), (u * seen.jvp(z, step)).sum())


def test_a_decoder_is_found_at_the_end_of_any_product() -> None:
    blur, mask = operators.Blur((1, 6, 8)), operators.Mask((1, 6, 8))
    decode = Decode(BLOCKS, (1, 6, 8))
    z = torch.rand(1, 1, 3, 4)
    for product in ((mask @ blur) @ decode, mask @ (blur @ decode)):
        outer, space = apart(product)
        torch.testing.assert_close(outer(space.to(z)), product(z))
        assert outer.input_shape == (1, 6, 8) and space is BLOCKS
    assert apart(mask @ blur)[1] is IDENTITY


def test_a_space_is_no_factor_of_an_operator() -> None:
    with pytest.raises(BadType, match="Decode"):
        operators.Blur((1, 6, 8)) @ BLOCKS  # type: ignore[operator]


def test_a_space_for_pictures_of_a_size_cuts_what_is_decoded() -> None:
    def up(z: torch.Tensor) -> torch.Tensor:
        return z.repeat_interleave(2, -1).repeat_interleave(2, -2)

    blocks = Latent(None, up, lambda shape: (shape[0], -(-shape[1] // 2), -(-shape[2] // 2)))
    z = torch.rand(2, 1, 3, 4)
    assert (Affine(0.1, 2.0) @ blocks).to(z).shape == (2, 1, 6, 8)
    whole = (Affine(0.1, 2.0) @ blocks @ Affine(0.0, 3.0)).sized((1, 5, 7))
    torch.testing.assert_close(whole.to(z), (0.1 + 2.0 * up(3.0 * z))[..., :5, :7])
    assert whole.own_shape((1, 5, 7)) == (1, 3, 4)
    decode = Decode(blocks, (1, 5, 7))
    assert decode(z).shape == (2, 1, 5, 7) and apart(operators.Identity((1, 5, 7)) @ decode)[1] is blocks
    assert BLOCKS.sized((1, 6, 8)).to(z).shape == (2, 1, 6, 8) and IDENTITY.sized((1, 6, 8)) is IDENTITY
