"""The smallest program that launches a kernel: through the driver alone, within 0.2 s; importing torch takes seconds.

`python -P -m evaluators.inside.tiny_kernel` launches one kernel twice, the second time between cuProfilerStart and
cuProfilerStop. It shows whether a profiler works, before a candidate has anything to do with it.

Limits: needs a GPU and its driver; compute capability 7.0 or newer.
"""

import ctypes
import sys

PTX = """
.version 7.0
.target sm_70
.address_size 64
.visible .entry add_one(.param .u64 x)
{
    .reg .b64 %rd<4>; .reg .b32 %r<5>; .reg .f32 %f<3>;
    ld.param.u64 %rd1, [x];
    mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;
    mad.lo.s32 %r4, %r1, %r2, %r3;
    mul.wide.s32 %rd2, %r4, 4; add.s64 %rd3, %rd1, %rd2;
    ld.global.f32 %f1, [%rd3];
    add.f32 %f2, %f1, 0f3F800000;
    st.global.f32 [%rd3], %f2;
    ret;
}
"""
_BLOCKS, _THREADS = 1024, 256


class _Driver:
    """libcuda; every call that fails ends the program with its name and code."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            sys.exit(f"no CUDA driver: {error}")

    def call(self, name: str, *arguments: object) -> None:
        """One function of the driver."""
        code = getattr(self._library, name)(*arguments)
        if code != 0:
            sys.exit(f"{name} failed with CUDA error {code}")


def main() -> None:
    """Launch, mark, launch."""
    driver = _Driver()
    device, context, buffer = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    module, kernel = ctypes.c_void_p(), ctypes.c_void_p()
    driver.call("cuInit", 0)
    driver.call("cuDeviceGet", ctypes.byref(device), 0)
    driver.call("cuCtxCreate_v2", ctypes.byref(context), 0, device)
    driver.call("cuModuleLoadData", ctypes.byref(module), PTX.encode() + bytes(1))
    driver.call("cuModuleGetFunction", ctypes.byref(kernel), module, b"add_one")
    driver.call("cuMemAlloc_v2", ctypes.byref(buffer), 4 * _BLOCKS * _THREADS)
    driver.call("cuMemsetD32_v2", buffer, 0, _BLOCKS * _THREADS)
    parameters = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(buffer), ctypes.c_void_p))
    launch = (kernel, _BLOCKS, 1, 1, _THREADS, 1, 1, 0, None, parameters, None)
    for marks in ((), ("cuProfilerStart", "cuProfilerStop")):
        if marks:
            driver.call(marks[0])
        driver.call("cuLaunchKernel", *launch)
        driver.call("cuCtxSynchronize")
        if marks:
            driver.call(marks[1])


if __name__ == "__main__":
    main()
