"""Waves: phase retrieval, ptychography, inverse scattering."""
