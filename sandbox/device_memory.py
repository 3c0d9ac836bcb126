"""Device memory shared between the judge and one program: the driver's virtual memory, passed as a file descriptor.

The judge creates it and hands the descriptor over as any other; no name, no namespace and no address is shared. A
program can write whatever it likes into it at any time, so the judge copies before it looks twice.

Limits: one device, the first of the process; the driver library alone is used, so that nothing is imported. The calling
thread needs a current CUDA context.
"""

import ctypes
import os
from ctypes import Structure, byref, c_int, c_size_t, c_ubyte, c_uint64, c_ushort, c_void_p
from typing import Any

_PINNED, _POSIX_DESCRIPTOR, _ON_DEVICE, _READ_WRITE = 1, 1, 1, 3


class DriverError(Exception):
    """The CUDA driver refused a call; the message names the call and the driver's own text."""

    def __init__(self, call: str, code: int, said: str) -> None:
        super().__init__(f"{call}: {said} (CUDA error {code})")
        self.code = code


class _Location(Structure):
    _fields_ = [("type", c_int), ("id", c_int)]


class _Flags(Structure):
    _fields_ = [("compression", c_ubyte), ("rdma", c_ubyte), ("usage", c_ushort), ("reserved", c_ubyte * 4)]


class _Properties(Structure):
    _fields_ = [
        ("type", c_int),
        ("handle_types", c_int),
        ("location", _Location),
        ("win32", c_void_p),
        ("flags", _Flags),
    ]


class _Access(Structure):
    _fields_ = [("location", _Location), ("flags", c_int)]


class DeviceMemory:
    """One mapped allocation. `address` is valid in this process only; `close` unmaps it."""

    def __init__(self, handle: int, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._handle = c_uint64(handle)
        address = c_uint64()
        _call("cuMemAddressReserve", byref(address), c_size_t(size_bytes), c_size_t(0), c_uint64(0), c_uint64(0))
        self.address = address.value
        _call("cuMemMap", address, c_size_t(size_bytes), c_size_t(0), self._handle, c_uint64(0))
        access = _Access(_Location(_ON_DEVICE, 0), _READ_WRITE)
        _call("cuMemSetAccess", address, c_size_t(size_bytes), byref(access), c_size_t(1))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The bytes as torch.as_tensor takes them."""
        return {"shape": (self.size_bytes,), "typestr": "|u1", "data": (self.address, False), "version": 3}

    def close(self) -> None:
        """Unmap and release; no tensor may look into it any more."""
        if self.address:
            _call("cuMemUnmap", c_uint64(self.address), c_size_t(self.size_bytes))
            _call("cuMemAddressFree", c_uint64(self.address), c_size_t(self.size_bytes))
            _call("cuMemRelease", self._handle)
            self.address = 0


def create(size_bytes: int) -> tuple[DeviceMemory, int]:
    """Device memory of at least this size, and a descriptor that `attach` takes; the caller closes the descriptor.

    Raises DriverError, with code 2 where the device has too little memory left.
    """
    properties = _Properties(_PINNED, _POSIX_DESCRIPTOR, _Location(_ON_DEVICE, 0))
    step = c_size_t()
    _call("cuMemGetAllocationGranularity", byref(step), byref(properties), c_int(0))
    rounded = -(-size_bytes // step.value) * step.value
    handle = c_uint64()
    _call("cuMemCreate", byref(handle), c_size_t(rounded), byref(properties), c_uint64(0))
    descriptor = c_int()
    _call("cuMemExportToShareableHandle", byref(descriptor), handle, c_int(_POSIX_DESCRIPTOR), c_uint64(0))
    os.set_inheritable(descriptor.value, False)
    return DeviceMemory(handle.value, rounded), descriptor.value


def attach(descriptor: int, size_bytes: int) -> DeviceMemory:
    """The memory behind a descriptor, mapped into this process. `size_bytes` as `create` rounded it."""
    handle = c_uint64()
    _call("cuMemImportFromShareableHandle", byref(handle), c_void_p(descriptor), c_int(_POSIX_DESCRIPTOR))
    return DeviceMemory(handle.value, size_bytes)


def _call(name: str, *arguments: Any) -> None:
    driver = ctypes.CDLL("libcuda.so.1")
    code = getattr(driver, name)(*arguments)
    if code:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(c_int(code), byref(text))
        raise DriverError(name, code, (text.value or b"no text").decode())
