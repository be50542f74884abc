"""What numbers are measured in; without torch, for those who only read them."""

UNITS = {
    "elbo": "nats per image",
    "distortion": "nats per image",
    "kl": "nats per image",
    "bits_per_dim": "bits per value",
    "mse": "squared error per value",
    "squared_error": "squared error per image",
    "psnr": "dB",
    "nll": "nats per image",
    "nll_standard_error": "nats per image",
    "nll_bits_per_dim": "bits per value",
    "nll_effective_samples": "codes",
    "active_units": "latent dimensions",
}
