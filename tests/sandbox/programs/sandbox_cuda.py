"""Uses a GPU inside the sandbox in the ways candidates do. Run as a script it prints one line for each set of layers."""

import json
import sys
import time
from pathlib import Path

KERNEL = """
import triton
import triton.language as tl


@triton.jit
def add_one(x, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x + at, tl.load(x + at, mask=at < n) + 1, mask=at < n)
"""


def main(channel, arguments, shared):
    import torch

    began_s = time.perf_counter()
    Path("kernels.py").write_text(KERNEL)
    sys.path.insert(0, str(Path.cwd()))
    from kernels import add_one

    x = torch.zeros(4096, device="cuda")
    context_s = time.perf_counter() - began_s
    add_one[(4,)](x, 4096, BLOCK=1024)
    triton_is_right = bool((x == 1).all())
    y = torch.ones(512, 512, device="cuda", dtype=torch.bfloat16)
    product_is_right = float((y @ y)[0, 0]) == 512
    pinned = torch.ones(1 << 20).pin_memory().to("cuda", non_blocking=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        z = x + 1
    graph.replay()
    torch.cuda.synchronize()
    channel.send(
        {
            "triton": triton_is_right,
            "product": product_is_right,
            "pinned": float(pinned.sum()) == 1 << 20,
            "graph": bool((z == 2).all()),
            "context_s": round(context_s, 3),
            "all_s": round(time.perf_counter() - began_s, 3),
        }
    )


def run(without):
    from sandbox import ChildEnded, Limits, Zygote

    here = str(Path(__file__).parent)
    with (
        Zygote(("torch", "triton"), search_path=(here,), without=without, strictness="unsafe") as zygote,
        zygote.start("sandbox_cuda:main", {}, Limits(wall_s=120, memory_mb=32768)) as child,
    ):
        try:
            answer, _ = child.receive(120)
        except ChildEnded as ended:
            answer = {"failure": str(ended), "output": ended.outcome.output}
        return zygote.tier.name, answer, child.finish().describe()


if __name__ == "__main__":
    for without in (
        (),
        ("own_user",),
        ("own_root",),
        ("namespaces",),
        ("namespaces", "landlock", "seccomp", "own_user"),
    ):
        print(without, *map(json.dumps, run(without)), flush=True)
