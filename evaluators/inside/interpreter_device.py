"""CPU tensors that a candidate takes for CUDA tensors, and a `torch.cuda` that answers for the target GPU.

Without this a guard such as `if not x.is_cuda: return library(x)` would pass with no kernel run. The mode rewrites what
the candidate asks and says; inside torch it is off. Limits: streams and events do nothing; the device has no clock.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

CUDA = torch.device("cuda", 0)
_DEVICE, _IS_CUDA, _IS_CPU = torch.Tensor.device, torch.Tensor.is_cuda, torch.Tensor.is_cpu
_IS_META = torch.Tensor.is_meta
_ANSWERS = {id(_DEVICE): CUDA, id(_IS_CUDA): True, id(_IS_CPU): False, id(_IS_META): False}


# Ways to take the values of a tensor to the host, where Python or numpy could compute with them unseen.
_TO_HOST = frozenset(("numpy", "__array__", "tolist", "cpu", "__dlpack__"))


class CudaOnCpu(TorchFunctionMode):
    """Maps every mention of a device to the CPU and answers `cuda:0` when asked where a tensor is.

    `noted` is told of tensors whose values are taken to the host; a single number is none (a digest of weights).
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted: Callable[[str], object] = lambda name: None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one torch function for the candidate."""
        keywords = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "__get__":
            owner = getattr(func, "__self__", None)
            return _ANSWERS[id(owner)] if id(owner) in _ANSWERS else func(*args, **keywords)
        if name in _TO_HOST and isinstance(args[0], torch.Tensor) and args[0].numel() > 1:
            self.noted(f"host.{name}")
        if name in ("cuda", "pin_memory") and args and isinstance(args[0], torch.Tensor):
            return args[0]
        asked = (*args[1:], keywords.get("device"))
        if name == "to" and "cpu" in [str(a) for a in asked if isinstance(a, (str, torch.device))]:
            self.noted("host.to")
        if "device" in keywords:
            keywords["device"] = _on_cpu(keywords["device"])
        if name == "to":
            args = tuple(_on_cpu(a) if isinstance(a, (str, torch.device)) else a for a in args)
        return func(*args, **keywords)


def _on_cpu(device: Any) -> Any:
    if device is None or isinstance(device, int):
        return None if device is None else "cpu"
    return "cpu" if str(device).startswith("cuda") else device


class _Silent:
    """A stream, event or device context that does nothing."""

    cuda_stream = 0
    device = CUDA

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Accept whatever the real one takes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing was entered."""


def pretend_cuda(device: dict[str, Any]) -> None:
    """Answer for the target GPU from `torch.cuda` and from Triton's driver, for the rest of this process."""
    major, minor = divmod(int(device["capability"]), 10)
    properties = SimpleNamespace(
        name=device["name"],
        major=major,
        minor=minor,
        multi_processor_count=device["sm_count"],
        total_memory=int(device["memory_gb"] * 2**30),
        max_threads_per_multi_processor=device["max_threads_per_sm"],
        warp_size=device["warp_size"],
        regs_per_multiprocessor=device["registers_per_sm"],
        shared_memory_per_block=49152,
        shared_memory_per_block_optin=device["shared_memory_per_block_kb"] * 1024,
        shared_memory_per_multiprocessor=device["shared_memory_per_sm_kb"] * 1024,
        L2_cache_size=int(device["l2_mb"] * 2**20),
    )
    answers: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_properties": lambda device=None: properties,
        "get_device_capability": lambda device=None: (major, minor),
        "get_device_name": lambda device=None: properties.name,
        "current_stream": lambda device=None: _Silent(),
        "default_stream": lambda device=None: _Silent(),
        "is_bf16_supported": lambda *args, **kwargs: True,
    }
    for name in ("synchronize", "empty_cache", "set_device", "manual_seed", "manual_seed_all", "init", "_lazy_init"):
        answers[name] = lambda *args, **kwargs: None
    for name in ("Stream", "Event", "stream", "device"):
        answers[name] = _Silent
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    driver.set_active(_Driver(device))


class _Driver:
    """What Triton asks a driver for; no configuration is ever timed."""

    def __init__(self, device: dict[str, Any]) -> None:
        self._device = device
        self.utils = SimpleNamespace(get_device_properties=lambda index: self._properties())

    def _properties(self) -> dict[str, int]:
        return {
            "max_shared_mem": self._device["shared_memory_per_block_kb"] * 1024,
            "multiprocessor_count": self._device["sm_count"],
            "max_num_regs": self._device["registers_per_sm"],
            "warpSize": self._device["warp_size"],
        }

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", int(self._device["capability"]), 32)

    def get_current_device(self) -> int:
        return 0

    def set_current_device(self, device: int) -> None:
        """There is only one."""

    def get_current_stream(self, device: int = 0) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    def get_device_interface(self) -> Any:
        return torch.cuda

    def get_benchmarker(self) -> Any:
        return lambda call, quantiles=None, **options: [1.0] * len(quantiles or (0,))
