"""Let code believe it runs on a CUDA device although its tensors live on `meta` (or `cpu`).

Guards such as `if not x.is_cuda`, `x.device.type == "cuda"`, `.cuda()`, `device="cuda"`, device properties and
streams then take the branch that they would take on the target GPU. The properties shown are those of the
target's GpuSpec.

Limits: Python-level access on the thread that entered it. Legacy constructors (`torch.FloatTensor`) and code that
reads the device in C++ see the truth.
"""

import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode

from evaluators.gpu import GpuSpec

# Factories that put a tensor on the default device unless told otherwise.
_FACTORIES = frozenset(
    {
        "empty",
        "zeros",
        "ones",
        "full",
        "eye",
        "tensor",
        "as_tensor",
        "scalar_tensor",
        "empty_strided",
        "empty_permuted",
        "rand",
        "randn",
        "randint",
        "randperm",
        "normal",
        "arange",
        "range",
        "linspace",
        "logspace",
        "tril_indices",
        "triu_indices",
    }
)
_STAYS_WHERE_IT_IS = frozenset(("cuda", "cpu", "pin_memory"))


class CudaTensors(TorchFunctionMode):
    """Every tensor of the caller is kept on `storage` and reports `cuda:0`.

    Only attribute reads of the caller are answered so: inside torch's own functions the mode is off, so meta kernels
    see the true device (patching `torch.Tensor.device` itself breaks them).
    """

    def __init__(self, storage: str) -> None:
        """`storage` is `meta` or `cpu`."""
        super().__init__()
        self._storage = storage
        self._answers: dict[object, object] = {
            torch.Tensor.device: torch.device("cuda", 0),
            torch.Tensor.is_cuda: True,
            torch.Tensor.is_meta: False,
            torch.Tensor.is_cpu: False,
        }

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Answer device questions with CUDA and keep every new tensor on the storage device."""
        name = getattr(func, "__name__", "")
        if name == "__get__":
            owner = getattr(func, "__self__", None)
            return self._answers[owner] if owner in self._answers else func(*args, **(kwargs or {}))
        if name in _STAYS_WHERE_IT_IS and args and isinstance(args[0], torch.Tensor):
            return args[0]
        if name == "get_device":
            return 0
        return func(*self._args_here(name, args), **self._kwargs_here(name, dict(kwargs or {})))

    def _args_here(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if name != "to":
            return args
        return (*args[:1], *(self._storage if _is_device(arg) else arg for arg in args[1:]))

    def _kwargs_here(self, name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        if kwargs.get("device") is not None or name in _FACTORIES:
            kwargs["device"] = self._storage
        if self._storage == "meta":
            kwargs.pop("pin_memory", None)
        return kwargs


def _is_device(value: object) -> bool:
    return isinstance(value, torch.device) or (
        isinstance(value, str) and value.split(":")[0] in ("cuda", "cpu", "meta")
    )


class Inert:
    """Stands for a stream, event, graph or device: accepts everything, does nothing, every duration is 0."""

    cuda_stream = 0
    stream_id = 0
    device = torch.device("cuda", 0)
    device_index = 0

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Accept whatever the real class accepts."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def elapsed_time(self, end: object) -> float:
        """No time passes."""
        return 0.0

    def query(self) -> bool:
        """Everything is already done."""
        return True

    def record(self, *args: object, **kwargs: object) -> None:
        """Nothing to record."""

    wait = synchronize = wait_event = wait_stream = record_event = replay = record

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


def device_properties(gpu: GpuSpec) -> types.SimpleNamespace:
    """What `torch.cuda.get_device_properties` would show on the target."""
    major, minor = divmod(gpu.capability, 10)
    return types.SimpleNamespace(
        name=gpu.name,
        major=major,
        minor=minor,
        multi_processor_count=gpu.sm_count,
        total_memory=int(gpu.memory_gb * (1 << 30)),
        max_threads_per_multi_processor=gpu.max_threads_per_sm,
        warp_size=gpu.warp_size,
        regs_per_multiprocessor=gpu.registers_per_sm,
        shared_memory_per_block=48 << 10,  # without the opt-in, on every capability
        shared_memory_per_block_optin=gpu.shared_memory_per_block_kb << 10,
        shared_memory_per_multiprocessor=gpu.shared_memory_per_sm_kb << 10,
        L2_cache_size=int(gpu.l2_mb * (1 << 20)),
        gcnArchName=gpu.arch,
    )


@contextmanager
def cuda_device(gpu: GpuSpec, storage: str = "meta") -> Iterator[None]:
    """`torch.cuda` answers as on a machine with one `gpu`; tensors live on `storage`; gradients are off."""
    answers = _torch_cuda(gpu)
    truth = {name: getattr(torch.cuda, name) for name in answers if hasattr(torch.cuda, name)}
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    try:
        with CudaTensors(storage), torch.no_grad():
            yield
    finally:
        for name, original in truth.items():
            setattr(torch.cuda, name, original)


def _torch_cuda(gpu: GpuSpec) -> dict[str, Any]:
    properties = device_properties(gpu)
    memory = (properties.total_memory, properties.total_memory)
    constants: dict[str, Any] = {
        "is_available": True,
        "is_initialized": True,
        "is_bf16_supported": gpu.capability >= 80,
        "is_current_stream_capturing": False,
        "device_count": 1,
        "current_device": 0,
        "get_device_properties": properties,
        "get_device_capability": (properties.major, properties.minor),
        "get_device_name": properties.name,
        "mem_get_info": memory,
        "memory_allocated": 0,
        "max_memory_allocated": 0,
        "current_stream": Inert(),
        "default_stream": Inert(),
    }
    nothing = ("synchronize", "empty_cache", "set_device", "set_stream", "manual_seed", "manual_seed_all", "init")
    constants |= dict.fromkeys((*nothing, "_lazy_init", "reset_peak_memory_stats"), None)
    answers: dict[str, Any] = {name: _always(value) for name, value in constants.items()}
    classes = ("Stream", "ExternalStream", "Event", "stream", "device", "device_of", "CUDAGraph", "graph")
    return answers | dict.fromkeys(classes, Inert)


def _always(value: object) -> Callable[..., object]:
    return lambda *args, **kwargs: value
