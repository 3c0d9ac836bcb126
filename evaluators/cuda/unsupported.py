"""What the CPU emulation cannot run, by name, with the reason; and whether a text needs fibers.

Limits: names of the text, comments and strings apart; a macro that pastes a name together is not seen.
"""

import re

from evaluators.cuda.tokens import code_of

_ASSEMBLY = "inline PTX assembly"
_REASONS = {
    "asm": _ASSEMBLY,
    "__asm": _ASSEMBLY,
    "__asm__": _ASSEMBLY,
    "wmma": "tensor cores (wmma)",
    "nvcuda": "tensor cores (wmma)",
    "cooperative_groups": "cooperative groups",
    "__pipeline_memcpy_async": "asynchronous copies (cp.async)",
    "memcpy_async": "asynchronous copies (cp.async)",
    "cudaLaunchCooperativeKernel": "cooperative launches",
    "cudaLaunchKernel": "launches that are not written as kernel<<<...>>>(...)",
    "cudaLaunchKernelEx": "launches that are not written as kernel<<<...>>>(...)",
    "cudaLaunchKernelExC": "launches that are not written as kernel<<<...>>>(...)",
    "__cluster_dims__": "thread block clusters",
    "tex1Dfetch": "textures",
    "tex2D": "textures",
    "tex3D": "textures",
    "clock64": "the device clock",
    "__CUDA_ARCH__": "code chosen by the architecture (__CUDA_ARCH__)",
    "cub": "CUB",
    "thrust": "Thrust",
    "cutlass": "CUTLASS",
}
_BARRIERS = re.compile(
    r"__syncthreads\w*|__syncwarp|__shfl\w*|__ballot\w*|__(any|all)_sync|__reduce_\w+|__activemask|__match_\w+"
)


def not_emulated(text: str) -> str:
    """Why this text cannot be executed on the CPU; empty if nothing is known against it."""
    names = [token.text for token in code_of(text) if token.kind == "name"]
    found = dict.fromkeys(_REASONS[name] for name in names if name in _REASONS)
    return f"the CPU emulation does not cover {', '.join(found)}" if found else ""


def has_barriers(text: str) -> bool:
    """Threads of a block wait for each other, so they must run interleaved."""
    return any(_BARRIERS.fullmatch(token.text) for token in code_of(text) if token.kind == "name")
