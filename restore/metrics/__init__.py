"""Scores whose name holds their convention: `psnr[y601,crop=4]`, `ssim[gauss1.5,rgb]`, `lpips[alex,v0.1]`.

`parse(name)` gives the metric, `evaluate(estimate, truth, names)` the scores of a batch, `score_pair` those of two
pictures, `canonical(name)` the normalised name. Nothing here loads torch, torchvision or lpips before it is used.
"""

from __future__ import annotations

import lazy_loader

from operators.common.registry import Entry

from .table import MetricTable

REGISTRY = MetricTable(
    "metric",
    {
        "psnr": Entry("restore.metrics.pixelwise:PSNR", "peak signal-to-noise ratio in dB"),
        "rmse": Entry("restore.metrics.pixelwise:RMSE", "root of the mean squared error, in the picture's units"),
        "mae": Entry("restore.metrics.pixelwise:MAE", "mean absolute error, in the picture's units"),
        "chroma-rmse": Entry(
            "restore.metrics.pixelwise:ChromaRMSE",
            "root mean squared error of the two colour-difference channels",
            "ITU-R BT.601-7",
        ),
        "ssim": Entry(
            "restore.metrics.ssim:SSIM",
            "structural similarity under an 11x11 Gaussian window",
            "Z. Wang et al. 2004, doi:10.1109/TIP.2003.819861",
        ),
        "lpips": Entry(
            "restore.metrics.lpips:LPIPS",
            "learned perceptual distance on AlexNet features",
            "R. Zhang et al. 2018, arXiv 1801.03924",
        ),
        "ms-ssim": Entry(
            "restore.metrics.multiscale:MSSSIM",
            "structural similarity at five scales",
            "Z. Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216",
        ),
        "fsim": Entry(
            "restore.metrics.published:FSIM",
            "feature similarity: phase congruency and gradients",
            "L. Zhang et al. 2011, doi:10.1109/TIP.2011.2109730",
        ),
        "vif": Entry(
            "restore.metrics.published:VIF",
            "visual information fidelity in the pixel domain",
            "H. R. Sheikh, A. C. Bovik 2006, doi:10.1109/TIP.2005.859378",
        ),
        "dists": Entry(
            "restore.metrics.published:DISTS",
            "deep structure and texture similarity on VGG features",
            "K. Ding et al. 2020, arXiv 2004.07728",
        ),
        "sam": Entry(
            "restore.metrics.spectral:SAM",
            "mean angle between spectra",
            "R. H. Yuhas, A. F. H. Goetz, J. W. Boardman 1992",
        ),
        "ergas": Entry("restore.metrics.spectral:ERGAS", "relative error of all bands, in percent", "L. Wald 2000"),
        "hfen": Entry(
            "restore.metrics.medical:HFEN",
            "high-frequency error norm under a Laplacian of Gaussian",
            "S. Ravishankar, Y. Bresler 2011, doi:10.1109/TMI.2010.2090538",
        ),
        "nmse": Entry(
            "restore.metrics.medical:NMSE",
            "squared error over the squared norm of the truth",
            "J. Zbontar et al. 2018, arXiv 1811.08839",
        ),
        "rmse-hu": Entry("restore.metrics.medical:RMSEHU", "root mean squared error in Hounsfield units"),
        "chi2": Entry(
            "restore.metrics.consistency:Chi2",
            "squared residual over the noise variance; 1 is right",
        ),
        "coverage": Entry(
            "restore.metrics.posterior:Coverage", "share of the truth inside the central intervals of the samples"
        ),
        "crps": Entry(
            "restore.metrics.posterior:CRPS",
            "continuous ranked probability score of the samples",
            "C. Ferro 2014, doi:10.1002/qj.2270",
        ),
        "energy": Entry(
            "restore.metrics.posterior:Energy",
            "energy score of the samples, of whole pictures",
            "T. Gneiting, A. E. Raftery 2007, doi:10.1198/016214506000001437",
        ),
        "fid": Entry(
            "restore.metrics.population:FID",
            "distance of Gaussians between sets of pictures, on network features; in suites only",
            "M. Heusel et al. 2017, arXiv 1706.08500",
        ),
        "kid": Entry(
            "restore.metrics.population:KID",
            "unbiased kernel distance between sets of pictures, on network features; in suites only",
            "M. Binkowski et al. 2018, arXiv 1801.01401",
        ),
    },
)

# A bare family name stands for this convention.
DEFAULT_CONVENTIONS = {
    "psnr": "psnr[rgb,clip,peak=1]",
    "ssim": "ssim[gauss1.5,rgb]",
    "lpips": "lpips[alex,v0.1]",
    "chroma-rmse": "chroma-rmse[bt601]",
    "rmse": "rmse[any]",
    "mae": "mae[any]",
    "ms-ssim": "ms-ssim[gauss1.5,rgb]",
    "fsim": "fsim[colour]",
    "vif": "vif[pixel]",
    "dists": "dists[vgg]",
    "sam": "sam[degrees]",
    "ergas": "ergas[ratio=1]",
    "hfen": "hfen[log1.5]",
    "nmse": "nmse[any]",
    "rmse-hu": "rmse-hu[all]",
    "chi2": "chi2",
    "coverage": "coverage[90]",
    "crps": "crps[any]",
    "energy": "energy[any]",
    "fid": "fid[inception]",
    "kid": "kid[inception]",
}

__getattr__, _, _LAZY = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Metric"],
        "evidence": ["Evidence", "NotApplicable"],
        "names": ["parse", "canonical"],
        "scores": [
            "Score",
            "Summary",
            "appraise",
            "evaluate",
            "score_pair",
            "summarize",
            "as_metrics_json",
            "to_json",
            "from_json",
        ],
        "posterior": ["coverage", "coverages", "crps", "energy_score"],
        "distribution": ["fid", "kid"],
    },
)

__all__ = ["DEFAULT_CONVENTIONS", "REGISTRY", *_LAZY]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
