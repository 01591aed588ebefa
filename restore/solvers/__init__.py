"""Solvers: one file per method. `solvers.build("diffpir", steps=20)` constructs one by name."""

from __future__ import annotations

from typing import Any

from operators import BadInput
from operators.common.registry import Entry, Registry

from .base import Solver, State

__all__ = ["REGISTRY", "Solver", "State", "build", "solver_name"]

REGISTRY = Registry(
    "solver",
    {
        "diffpir": Entry(
            "restore.solvers.diffusion.diffpir:DiffPIR",
            "half-quadratic splitting: denoise, exact data step, renoise",
            "Zhu et al. 2023, arXiv 2305.08995",
        ),
        "dpir": Entry(
            "restore.solvers.diffusion.dpir:DPIR",
            "half-quadratic splitting down a ladder of denoiser levels, nothing random",
            "Zhang et al. 2021, arXiv 2008.13751",
        ),
        "red-diff": Entry(
            "restore.solvers.diffusion.red_diff:REDDiff",
            "variational: gradient descent on data term plus score-matching regulariser",
            "Mardani et al. 2024, arXiv 2305.04391",
        ),
        "dps": Entry(
            "restore.solvers.diffusion.dps:DPS",
            "ancestral sampling steered by the gradient of the data misfit through the prior",
            "Chung et al. 2023, arXiv 2209.14687",
        ),
        "pigdm": Entry(
            "restore.solvers.diffusion.pigdm:PiGDM",
            "sampling guided by the pseudo-inverse, taken through the prior",
            "Song et al. 2023, ICLR (PiGDM)",
        ),
        "ddrm": Entry(
            "restore.solvers.diffusion.ddrm:DDRM",
            "a diffusion in the singular vectors of the operator, each at its own noise level",
            "Kawar et al. 2022, arXiv 2201.11793",
        ),
        "ddnm": Entry(
            "restore.solvers.diffusion.ddnm:DDNM",
            "range of the operator from the measurement, null space from the prior; DDNM+ where y is noisy",
            "Wang, Yu, Zhang 2023, arXiv 2212.00490",
        ),
        "tmpd": Entry(
            "restore.solvers.diffusion.tmpd:TMPD",
            "guidance by the covariance that the denoiser's Jacobian gives: full, diagonal or row sums",
            "Boys et al. 2024, arXiv 2310.06721",
        ),
        "score-sde": Entry(
            "restore.solvers.diffusion.score_sde:ScoreSDE",
            "predictor and corrector, each after the measured part was put back",
            "Song et al. 2022, arXiv 2111.08005",
        ),
        "flowchef": Entry(
            "restore.solvers.diffusion.flowchef:FlowChef",
            "a rectified flow steered by gradients that skip the network",
            "Patel et al. 2025, arXiv 2412.00100",
        ),
        "dds": Entry(
            "restore.solvers.diffusion.dds:DDS",
            "a few conjugate gradients toward the measurement at every step of a diffusion",
            "Chung, Lee, Ye 2024, arXiv 2303.05754",
        ),
        "daps": Entry(
            "restore.solvers.diffusion.daps:DAPS",
            "decoupled annealing: flow to a clean picture, draw it anew given y, add noise again",
            "Zhang et al. 2025, arXiv 2407.01521",
        ),
        "sitcom": Entry(
            "restore.solvers.diffusion.sitcom:SITCOM",
            "the network's input is fitted by Adam until its output agrees with y, then noised anew",
            "Alkhouri et al. 2025, arXiv 2410.04479",
        ),
        "pnp-dm": Entry(
            "restore.solvers.diffusion.pnp_dm:PnPDM",
            "split Gibbs: a draw given y alternates with a reverse diffusion from a falling level",
            "Wu et al. 2024, arXiv 2405.18782",
        ),
        "psld": Entry(
            "restore.solvers.diffusion.psld:PSLD",
            "latent diffusion steered by the measurement and glued to what the encoder knows; pictures too",
            "Rout et al. 2023, arXiv 2307.00619",
        ),
        "stsl": Entry(
            "restore.solvers.diffusion.stsl:STSL",
            "latent diffusion with second-order Tweedie: inverted start, inner gradient steps; pictures too",
            "Rout et al. 2024, arXiv 2312.00852",
        ),
        "mcg-diff": Entry(
            "restore.solvers.diffusion.mcg_diff:MCGDiff",
            "particles in the basis of singular vectors, resampled at every step; exact as their number grows",
            "Cardoso et al. 2024, arXiv 2308.07983",
        ),
        "afdps": Entry(
            "restore.solvers.diffusion.afdps:AFDPS",
            "an ensemble of weighted particles; exact as their number and the steps grow",
            "Chen et al. 2025, arXiv 2506.03979",
        ),
        "mbir": Entry(
            "restore.solvers.diffusion.mbir:MBIR",
            "a volume from a prior of slices, joined across slices by total variation",
            "Chung et al. 2023, arXiv 2211.10655",
        ),
        "gdp": Entry(
            "restore.solvers.diffusion.gdp:GDP",
            "ancestral sampling with the clean estimate pulled to y; finds unknown parameters of the operator too",
            "Fei et al. 2023, arXiv 2304.01247",
        ),
        "joint": Entry(
            "restore.solvers.diffusion.joint:JointDiffusion",
            "picture and structured noise (stripes, row noise, rings), each under a prior of its own",
            "Stevens et al. 2025, arXiv 2302.05290",
        ),
        "hir-diff": Entry(
            "restore.solvers.diffusion.hir_diff:HIRDiff",
            "a hyperspectral picture through three of its bands, by a prior of colour pictures",
            "Pang et al. 2024, arXiv 2402.15865",
        ),
        "aps": Entry(
            "restore.solvers.discrete.aps:APS",
            "tokens guided by the data misfit through the decoder, the surest fixed first; needs a prior of tokens",
            "Rout et al. 2025, arXiv 2510.02291",
        ),
        "g2d2": Entry(
            "restore.solvers.discrete.g2d2:G2D2",
            "laws of tokens fitted by gradients through relaxed draws; needs a prior of tokens",
            "Murata et al. 2025, sony/g2d2",
        ),
        "resshift": Entry(
            "restore.solvers.residual.resshift:ResShift",
            "shifts the residual out of the noisy measurement in 4 to 15 steps; needs a resshift prior",
            "Yue, Wang, Loy 2023, arXiv 2307.12348",
        ),
        "rddm": Entry(
            "restore.solvers.residual.rddm:RDDM",
            "takes residual and noise out together, on schedules of their own; needs an rddm prior",
            "Liu et al. 2024, arXiv 2308.13712",
        ),
        "resfusion": Entry(
            "restore.solvers.residual.resfusion:Resfusion",
            "ancestral sampling from where the state no longer depends on the picture; needs a resfusion prior",
            "Shi et al. 2024, arXiv 2311.14900",
        ),
        "ir-sde": Entry(
            "restore.solvers.residual.ir_sde:IRSDE",
            "a mean-reverting equation run backwards in 100 steps; needs an ir-sde prior",
            "Luo et al. 2023, arXiv 2301.11699",
        ),
        "mrs": Entry(
            "restore.solvers.residual.mrs:MRS",
            "high-order integrators for the same priors in 5 to 20 steps; needs an ir-sde prior",
            "Li et al. 2025, arXiv 2502.07856",
        ),
        "i2sb": Entry(
            "restore.solvers.residual.i2sb:I2SB",
            "a bridge that starts at the measurement itself; needs an i2sb prior",
            "Liu et al. 2023, arXiv 2302.05872",
        ),
        "regression": Entry(
            "restore.solvers.residual.regression:Regression",
            "one call of a network from measurement to picture, nothing random; needs a regression prior",
        ),
        "noise2score": Entry(
            "restore.solvers.selfsupervised.noise2score:Noise2Score",
            "Tweedie's rule with a score learned from the noisy picture itself; noise level unknown",
            "Kim, Ye 2021, arXiv 2106.07009",
        ),
        "noise2void": Entry(
            "restore.solvers.selfsupervised.blindspot:Noise2Void",
            "one pass of a network that learned to predict hidden pixels",
            "Krull, Buchholz, Jug 2019, arXiv 1811.10980",
        ),
        "ap-bsn": Entry(
            "restore.solvers.selfsupervised.ap_bsn:APBSN",
            "blind-spot network on pixel-shuffled pictures, for correlated camera noise",
            "Lee, Son, Lee 2022, arXiv 2203.11799",
        ),
        "c-bsn": Entry(
            "restore.solvers.selfsupervised.blindspot:CBSN",
            "one pass of a network that was blind in training and sees the pixel at test",
            "Jang et al. 2023, arXiv 2304.09507",
        ),
        "sdap": Entry(
            "restore.solvers.selfsupervised.blindspot:SDAP",
            "blind-spot network learned on random sub-samples, for correlated camera noise",
            "Pan et al. 2023, arXiv 2307.16825",
        ),
        "zs-n2n": Entry(
            "restore.solvers.selfsupervised.zs_n2n:ZSN2N",
            "a tiny network trained on the two diagonals of the one noisy picture",
            "Mansour, Heckel 2023, arXiv 2303.11253",
        ),
        "pixel2pixel": Entry(
            "restore.solvers.selfsupervised.pixel2pixel:Pixel2Pixel",
            "a small network trained on pairs from similar pixels of the one noisy picture",
            "Ma et al. 2025, Pixel2Pixel, IEEE TPAMI",
        ),
        "mash": Entry(
            "restore.solvers.selfsupervised.mash:MASH",
            "masked and shuffled training on the one picture, for correlated noise",
            "Chihaoui, Favaro 2024, arXiv 2404.09389",
        ),
        "tikhonov": Entry(
            "restore.solvers.classical.tikhonov:Tikhonov", "quadratic smoothness, conjugate gradients", "Tikhonov 1963"
        ),
        "tv": Entry(
            "restore.solvers.classical.tv:TV", "total variation", "Rudin, Osher, Fatemi 1992; Chambolle, Pock 2011"
        ),
        "wavelet": Entry(
            "restore.solvers.classical.wavelet:Wavelet", "sparse wavelet coefficients by FISTA", "Beck, Teboulle 2009"
        ),
        "gradient": Entry(
            "restore.solvers.classical.gradient:Gradient",
            "likelihood and smoothed total variation by L-BFGS, for any operator and noise",
            "Nocedal 1980; Vogel, Oman 1996",
        ),
        "hio": Entry("restore.solvers.classical.hio:HIO", "phase retrieval by hybrid input-output", "Fienup 1982"),
        "median": Entry(
            "restore.solvers.classical.median:Median", "the middle value of a window; for impulses", "Tukey 1977"
        ),
        "bilateral": Entry(
            "restore.solvers.classical.bilateral:Bilateral",
            "neighbours of like value averaged; a quick denoiser",
            "Tomasi, Manduchi 1998, doi:10.1109/ICCV.1998.710815",
        ),
        "guided": Entry(
            "restore.solvers.classical.guided:Guided",
            "a local linear fit of the picture to itself; a quick denoiser",
            "He, Sun, Tang 2013, doi:10.1109/TPAMI.2012.213",
        ),
        "measurement": Entry(
            "restore.solvers.classical.measurement:Measurement", "the measurement itself, clipped to [0, 1]"
        ),
        "direct": Entry(
            "restore.solvers.classical.direct:Direct",
            "the operator's own quick reconstruction (filtered back-projection, ...)",
        ),
        "bicubic": Entry(
            "restore.solvers.classical.bicubic:Bicubic",
            "MATLAB bicubic enlargement to the size of the picture",
            "Keys 1981",
        ),
        "biharmonic": Entry(
            "restore.solvers.classical.biharmonic:Biharmonic",
            "holes filled by the biharmonic equation",
            "Damelin, Hoang 2018",
        ),
    },
)


def build(name: str, **settings: Any) -> Solver:
    """A solver by name. `preset` (such as "paper") chooses a named group of settings; others given win over it."""
    preset = settings.pop("preset", None)
    if preset is not None:
        presets = REGISTRY.load(name).presets
        if preset not in presets:
            raise BadInput(f"solver {name!r} has no preset {preset!r}", do=f"It has: {', '.join(presets) or 'none'}.")
        settings = {**presets[preset], **settings}
    return REGISTRY.build(name, **settings)


def solver_name(method: Solver) -> str:
    """The registry name of a solver, or its class name."""
    for name, entry in REGISTRY.items():
        module, _, attribute = entry.target.partition(":")
        if (type(method).__module__, type(method).__name__) == (module, attribute):
            return name
    return type(method).__name__
