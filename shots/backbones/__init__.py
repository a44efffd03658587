"""What differs between model families, and the capture of a diffusers pipeline's calls."""
