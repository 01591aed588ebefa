"""Pictures with many spectral bands: coded-aperture snapshots, band responses, missing bands, pansharpening."""
