"""What a camera does to light: colour filters, tone, saturation, and the file it writes."""
