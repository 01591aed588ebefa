"""Forward operators: the physics between a picture and its measurement, and the noise that falls on it.

`operators.build("blur", input_shape, kernel="gaussian")` constructs one by name; `operators.Blur` and the other classes
are attributes, imported at first use. Every entry of `REGISTRY` can be built from an input shape alone.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

from .common.errors import BadInput, BadType, Diverged, MissingExtra, RestoreError, Unavailable
from .common.registry import Entry, Registry

REGISTRY = Registry(
    "operator",
    {
        "identity": Entry("operators.core.identity:Identity", "the picture itself (denoising)"),
        "mask": Entry(
            "operators.missing.mask:Mask",
            "keep some pixels: random, box, strokes, stripes, dead pixels, border, or a mask of one's own",
        ),
        "blur": Entry("operators.blurring.blur:Blur", "convolution with a kernel under a named boundary"),
        "blur-varying": Entry(
            "operators.blurring.blur_varying:SpatiallyVaryingBlur",
            "blur that changes over the picture: a sum of products and convolutions",
            "M. Hirsch et al. 2010, doi:10.1109/CVPR.2010.5540158",
        ),
        "blur-decimate": Entry(
            "operators.blurring.blur_decimate:BlurDecimate",
            "blur, then keep every s-th pixel",
            "N. Zhao et al. 2016, doi:10.1109/TIP.2016.2567075",
        ),
        "downsample": Entry(
            "operators.resampling.downsample:Downsample",
            "antialiased reduction by a factor (MATLAB bicubic, area, ...)",
            "R. Keys 1981, doi:10.1109/TASSP.1981.1163711",
        ),
        "mosaic": Entry(
            "operators.camera.mosaic:Mosaic",
            "a colour filter array: one of three colours in each pixel",
            "H. Malvar, L. He, R. Cutler 2004, doi:10.1109/ICASSP.2004.1326587",
        ),
        "resize": Entry(
            "operators.resampling.resize:Resize",
            "another size: any scale up or down, any filter",
            "R. Keys 1981, doi:10.1109/TASSP.1981.1163711",
        ),
        "compressed-sensing": Entry(
            "operators.sensing.compressed_sensing:CompressedSensing",
            "fewer orthonormal measurements than pixels: scrambled fast transform or block Gaussian",
            "E. Candes, M. Wakin 2008, doi:10.1109/MSP.2007.914731",
        ),
        "mri": Entry(
            "operators.mri.cartesian:Mri",
            "Cartesian magnetic resonance imaging with one coil: sampled k-space",
            "J. Zbontar et al. 2018, arXiv:1811.08839",
        ),
        "mri-multicoil": Entry(
            "operators.mri.multicoil:MultiCoilMri",
            "Cartesian parallel imaging: sampled k-space of several coils",
            "K. Pruessmann et al. 1999, SENSE, PMID 10542355",
        ),
        "mri-nufft": Entry(
            "operators.mri.nufft:MriNufft",
            "magnetic resonance imaging on any trajectory: radial, spiral, measured points",
            "J. Fessler, B. Sutton 2003, doi:10.1109/TSP.2002.807005",
        ),
        "hadamard": Entry(
            "operators.sensing.hadamard:Hadamard", "Walsh-Hadamard coefficients in their plane, all or a share of them"
        ),
        "single-pixel": Entry(
            "operators.sensing.single_pixel:SinglePixel",
            "single-pixel camera: a list of Hadamard patterns, signed, binary or in pairs",
            "M. Duarte et al. 2008, doi:10.1109/MSP.2007.914730",
        ),
        "cassi": Entry(
            "operators.spectral.cassi:CASSI",
            "coded-aperture snapshot spectral imaging, single or dual disperser",
            "A. Wagadarikar et al. 2008, doi:10.1364/AO.47.000B44",
        ),
        "spectral": Entry(
            "operators.spectral.response:SpectralResponse", "weighted sums of spectral bands, pixel by pixel"
        ),
        "band-mask": Entry(
            "operators.spectral.band_mask:BandMask", "missing bands, stripes and dead columns of single bands"
        ),
        "pansharpen": Entry(
            "operators.spectral.pansharpen:Pansharpen",
            "a coarse picture of all bands and a fine one of few",
            "Q. Wei, N. Dobigeon, J.-Y. Tourneret 2015, doi:10.1109/TIP.2015.2458572",
        ),
        "ct-parallel": Entry(
            "operators.ct.parallel:ParallelCT",
            "parallel-beam tomography: Fourier slices, exact strips or Joseph's lines",
            "Kak, Slaney 1988, doi:10.1137/1.9780898719277",
        ),
        "ct-fan": Entry(
            "operators.ct.fan:FanCT",
            "fan-beam tomography onto a flat detector, full or short scan",
            "Kak, Slaney 1988, doi:10.1137/1.9780898719277",
        ),
        "ct-cone": Entry(
            "operators.ct.cone:ConeCT",
            "cone-beam tomography of volumes on a circular orbit",
            "L. Feldkamp, L. Davis, J. Kress 1984, doi:10.1364/JOSAA.1.000612",
        ),
        "phase-retrieval": Entry(
            "operators.optics.phase_retrieval:PhaseRetrieval",
            "the size of an oversampled or coded Fourier spectrum, its phase lost",
            "J. Fienup 1982, doi:10.1364/AO.21.002758; E. Candes et al. 2015, doi:10.1109/TIT.2015.2399924",
        ),
        "ptychography": Entry(
            "operators.optics.ptychography:Ptychography",
            "far-field patterns of a probe that scans an object in overlapping steps",
            "J. Rodenburg, H. Faulkner 2004, doi:10.1063/1.1823034",
        ),
        "scattering": Entry(
            "operators.optics.scattering:Scattering",
            "inverse scattering under the first Born approximation",
            "H. Zheng et al. 2025 (InverseBench), arXiv 2503.11043",
        ),
        "jpeg": Entry(
            "operators.camera.jpeg:JPEG", "JPEG compression and decoding at a quality", "ITU-T T.81; G. Wallace 1991"
        ),
        "hdr": Entry("operators.camera.tone:HDR", "exposure with gain that saturates at black and white"),
        "quantise": Entry("operators.camera.tone:Quantise", "rounding to 2^bits grey levels"),
        "gamma-blur": Entry("operators.camera.gamma_blur:GammaBlur", "blur of light seen through a tone curve"),
        "low-light": Entry("operators.camera.tone:LowLight", "a dark exposure through a tone curve"),
        "haze": Entry("operators.camera.tone:Haze", "attenuated scene and scattered light", "H. Koschmieder 1924"),
    },
)

__getattr__, _, _LAZY = lazy_loader.attach(
    __name__,
    {"mri", "noise"},
    {
        "core.base": ["Operator", "LinearOperator", "SVD"],
        "common.space": ["Affine", "Latent", "Space"],
        "core.identity": ["Identity"],
        "core.posing": ["Decode"],
        "missing.mask": ["Mask"],
        "blurring.blur": ["Blur"],
        "blurring.blur_decimate": ["BlurDecimate"],
        "blurring.blur_varying": ["SpatiallyVaryingBlur"],
        "resampling.downsample": ["Downsample"],
        "camera.mosaic": ["Mosaic"],
        "resampling.resize": ["Resize"],
        "sensing.compressed_sensing": ["CompressedSensing"],
        "sensing.hadamard": ["Hadamard"],
        "sensing.single_pixel": ["SinglePixel"],
        "spectral.cassi": ["CASSI"],
        "spectral.response": ["SpectralResponse"],
        "spectral.band_mask": ["BandMask"],
        "spectral.pansharpen": ["Pansharpen"],
        "mri.cartesian": ["Mri"],
        "mri.multicoil": ["MultiCoilMri"],
        "ct.parallel": ["ParallelCT"],
        "ct.fan": ["FanCT"],
        "ct.cone": ["ConeCT"],
        "optics.modulus": ["Modulus"],
        "optics.phase_retrieval": ["PhaseRetrieval"],
        "optics.ptychography": ["Ptychography"],
        "optics.scattering": ["Scattering"],
        "camera.jpeg": ["JPEG"],
        "camera.tone": ["HDR", "Quantise", "LowLight", "Haze"],
        "camera.gamma_blur": ["GammaBlur"],
        "mri.nufft": ["MriNufft"],
        "core.stack": ["stack"],
        "core.diagnosis": ["check"],
        "core.interop": ["from_function", "from_matrix", "from_scipy", "from_deepinv"],
        "common.device_noise": ["DeviceNoise"],
        "common.randomness": ["NoiseSource", "Tape", "image_id"],
        "blurring": ["kernels"],
    },
)

__all__ = [
    "REGISTRY",
    "BadInput",
    "BadType",
    "Diverged",
    "MissingExtra",
    "RestoreError",
    "Unavailable",
    "build",
    *_LAZY,
]


def build(name: str, input_shape: tuple[int, ...], **parameters: Any) -> Any:
    """An operator by its registry name, bound to `input_shape` (without the batch)."""
    return REGISTRY.build(name, input_shape, **parameters)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
