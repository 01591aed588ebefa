"""Magnetic resonance imaging: Cartesian and free trajectories, one coil or many, planes, volumes and series."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cartesian": ["Mri"],
        "multicoil": ["MultiCoilMri"],
        "nufft": ["MriNufft"],
        "sampling": ["sampling_mask"],
        "trajectories": ["trajectory"],
        "density": ["pipe_menon", "ramp"],
        "coils": ["birdcage", "combine", "normalise", "prewhiten", "root_sum_of_squares"],
        "calibration": ["espirit", "walsh"],
        "fourier": ["centred_fft", "centred_ifft"],
    },
)
