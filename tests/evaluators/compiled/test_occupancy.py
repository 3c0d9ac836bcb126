"""Our occupancy formula against NVIDIA's own, cuda_occupancy.h, compiled here and asked at random points."""

import importlib.util
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from evaluators.compiled.occupancy import occupancy
from evaluators.gpu_catalog import all_gpus, load_gpu

PROGRAM = r"""
#include <cstdio>
#include "cuda_occupancy.h"
int main() {
  int major, minor, threads_sm, shared_sm, shared_block, reserved, blocks_sm, threads, registers, shared;
  while (scanf("%d %d %d %d %d %d %d %d %d %d", &major, &minor, &threads_sm, &shared_sm, &shared_block, &reserved,
               &blocks_sm, &threads, &registers, &shared) == 10) {
    cudaOccDeviceProp device;
    device.computeMajor = major;
    device.computeMinor = minor;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = threads_sm;
    device.regsPerBlock = 65536;
    device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.sharedMemPerBlock = 49152;
    device.sharedMemPerMultiprocessor = shared_sm;
    device.numSms = 1;
    device.sharedMemPerBlockOptin = shared_block;
    device.reservedSharedMemPerBlock = reserved;
    cudaOccFuncAttributes function;
    function.maxThreadsPerBlock = 1024;
    function.numRegs = registers;
    function.sharedSizeBytes = 0;
    function.partitionedGCConfig = PARTITIONED_GC_OFF;
    function.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    function.maxDynamicSharedSizeBytes = shared_block;
    cudaOccDeviceState state;
    state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
    cudaOccResult result;
    cudaOccError error = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &function, &state, threads, shared);
    printf("%d\n", error == CUDA_OCC_SUCCESS ? result.activeBlocksPerMultiprocessor : -1);
  }
}
"""


@pytest.fixture(scope="module")
def nvidia(tmp_path_factory):
    """NVIDIA's calculator as a program: ten numbers a line in, blocks per SM out."""
    spec = importlib.util.find_spec("triton")
    header = Path(spec.origin).parent / "backends" / "nvidia" / "include" / "cuda_occupancy.h"
    if not header.is_file() or shutil.which("g++") is None:
        pytest.skip("cuda_occupancy.h or g++ is not here")
    folder = tmp_path_factory.mktemp("occupancy")
    (folder / "ask.cpp").write_text(PROGRAM)
    subprocess.run(
        ["g++", "-w", "-I", str(header.parent), str(folder / "ask.cpp"), "-o", str(folder / "ask")], check=True
    )

    def ask(points):
        lines = "\n".join(" ".join(map(str, point)) for point in points)
        done = subprocess.run([str(folder / "ask")], input=lines, capture_output=True, text=True, check=True)
        return [int(line) for line in done.stdout.split()]

    return ask


def test_equal_to_nvidias_rules_on_every_gpu(nvidia):
    draw = random.Random(68)
    points, ours = [], []
    for gpu in all_gpus():
        major, minor = divmod(gpu.capability, 10)
        shared_sm, shared_block = gpu.shared_memory_per_sm_kb << 10, gpu.shared_memory_per_block_kb << 10
        reserved = 1024 if major >= 8 else 0
        for _ in range(300):
            threads, registers = 32 * draw.randint(1, 32), draw.randint(16, 255)
            shared = draw.choice([0, draw.randint(1, shared_block)])
            device = (major, minor, gpu.max_threads_per_sm, shared_sm, shared_block, reserved, gpu.max_blocks_per_sm)
            points.append((*device, threads, registers, shared))
            ours.append(occupancy(gpu, threads=threads, registers=registers, shared_bytes=shared).blocks_per_sm)
    theirs = nvidia(points)
    # The header knows the block limit by compute capability itself, so a wrong figure in a GPU's file shows here too.
    assert [(p, o, t) for p, o, t in zip(points, ours, theirs, strict=True) if o != t] == []


def test_the_limiter_is_named():
    gpu = load_gpu("4090")
    assert occupancy(gpu, threads=128, registers=255, shared_bytes=0).limiter == "registers"
    assert occupancy(gpu, threads=128, registers=32, shared_bytes=50_000).limiter == "shared memory"
    assert occupancy(gpu, threads=32, registers=16, shared_bytes=0).limiter == "blocks"


def test_a_block_that_fits_nowhere_has_no_occupancy():
    gpu = load_gpu("4090")
    assert occupancy(gpu, threads=128, registers=32, shared_bytes=200_000).pct == 0
