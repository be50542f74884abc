"""Networks whose linear maps stretch nothing."""

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


def normalise_spectrally(network: nn.Module) -> None:
    """Divide every linear map and convolution by its largest singular value, which one step of power
    iteration follows at each pass in training mode (Miyato et al. 2018, https://arxiv.org/abs/1802.05957)."""
    for module in list(network.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            spectral_norm(module)
