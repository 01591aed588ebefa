"""`atomic_path` and `atomic_folder` for those who write files of pictures; the priors need them too."""

from operators.common.atomic import atomic_folder, atomic_path, claimed

__all__ = ["atomic_folder", "atomic_path", "claimed"]
