"""X-ray tomography: parallel, fan and cone beams, their reconstructions, and the way from a real scan to a sinogram."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "parallel": ["ParallelCT"],
        "fan": ["FanCT"],
        "cone": ["ConeCT"],
        "geometry": ["attenuation", "hounsfield"],
        "scan": ["centre", "line_integrals"],
    },
)
