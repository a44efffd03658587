"""Make pixels: sampling, chaining and guidance of video diffusion models. Knows nothing of films or ledgers."""
