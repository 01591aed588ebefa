"""What the noise in a picture is: white, correlated, of the signal, of lines, cut off, rounded, compressed; or none."""
