"""Weights in fewer bits, by diffusers' own backends. torch is loaded by `config_of` alone.

The weights are read as they are and made smaller while a model is loaded; its folder stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from .backbones.families import Family
from .errors import ModelRefuses
from .settings import Quantized


@dataclass(frozen=True)
class Kind:
    """One way to store weights. package: what must be installed to compute with them. bits: of one weight.

    needs_gpu: its kernels run on CUDA devices only.
    """

    package: str
    bits: float
    needs_gpu: bool = False


KINDS: Mapping[str, Kind] = {
    "bitsandbytes-int8": Kind("bitsandbytes", 8, needs_gpu=True),
    "bitsandbytes-nf4": Kind("bitsandbytes", 4.5, needs_gpu=True),
    "torchao-int8": Kind("torchao", 8),
    "torchao-float8": Kind("torchao", 8),
    "quanto-int8": Kind("optimum.quanto", 8),
    "quanto-float8": Kind("optimum.quanto", 8),
}
"""What a storyboard may say -> how weights are stored then."""

INSTALL = {"optimum.quanto": "optimum-quanto"}
"""Import name -> name to install, where they differ."""
_METHODS = {"bitsandbytes": "bitsandbytes", "torchao": "torchao", "quanto": "optimum.quanto", "gguf": "gguf"}
"""How a saved config calls a backend -> its package."""


def installed(package: str) -> bool:
    """Can this package be imported? It is not imported."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a parent package that is not there
        return False


def check(quantized: Quantized | None, family: Family, parts: tuple[str, ...]) -> Quantized | None:
    """`quantized` with its parts named: the networks, unless told.

    Raises:
        ModelRefuses: no such kind, a backend that is not installed, or a part that has no weights.
    """
    if quantized is None:
        return None
    kind = KINDS.get(quantized.name)
    if kind is None:
        what = f"quantization {quantized.name!r} is not known; use one of {', '.join(KINDS)}, or none"
        raise ModelRefuses(what).concerning("quantization")
    _check_installed(kind.package, f"quantization {quantized.name}")
    # A VAE is mostly convolutions, and AnimateDiff's motion modules are copied into its network.
    mine = tuple(part for part in family.weights if part in parts and part not in ("vae", "motion_adapter"))
    chosen = quantized.parts or tuple(part for part in family.denoisers if part in mine)
    strange = [part for part in chosen if part not in mine]
    if strange:
        what = f"quantization of {', '.join(strange)}: what can be quantized of {family.name} is {', '.join(mine)}"
        raise ModelRefuses(what).concerning("quantization", "parts")
    return Quantized(quantized.name, tuple(sorted(chosen)))


def _check_installed(package: str, what: str) -> None:
    if not installed(package):
        name = INSTALL.get(package, package)
        said = f"{what} needs the package {name}, which is not installed here; pip install {name}, or choose another"
        raise ModelRefuses(said).concerning("quantization")


def check_stored(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ModelRefuses where a part was saved in quantized form and its backend is not installed."""
    for part, config in configs.items():
        stored = config.get("quantization_config") or {}
        method = str(stored.get("quant_method", "")).partition("_")[0]
        if method:
            _check_installed(_METHODS.get(method, method), f"part {part}, which is saved quantized by {method},")


def config_of(quantized: Quantized, dtype: Any, modules: Mapping[str, str]) -> Any:
    """What `from_pretrained` takes as `quantization_config`. modules: part -> the library that makes it."""
    from diffusers import PipelineQuantizationConfig

    mapping = {part: _made(quantized.name, modules[part], dtype) for part in quantized.parts}
    return PipelineQuantizationConfig(quant_mapping=mapping)


def _made(name: str, library: str, dtype: Any) -> Any:
    """The library's own config: diffusers and transformers have one each, with names of their own."""
    import importlib

    module: Any = importlib.import_module(library)
    backend, _, kind = name.partition("-")
    makers: dict[str, Callable[[], Any]] = {
        "quanto": lambda: module.QuantoConfig(**{_QUANTO[library]: kind}),
        "torchao": lambda: module.TorchAoConfig(_torchao(kind)),
        "bitsandbytes": lambda: module.BitsAndBytesConfig(**_bitsandbytes(kind, dtype)),
    }
    return makers[backend]()


_QUANTO = {"diffusers": "weights_dtype", "transformers": "weights"}


def _torchao(kind: str) -> Any:
    import importlib

    module: Any = importlib.import_module("torchao.quantization")
    return module.Int8WeightOnlyConfig() if kind == "int8" else module.Float8WeightOnlyConfig()


def _bitsandbytes(kind: str, dtype: Any) -> dict[str, Any]:
    if kind == "int8":
        return {"load_in_8bit": True}
    return {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
