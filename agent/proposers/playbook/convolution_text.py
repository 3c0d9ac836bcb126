"""Text around the kernels for convolutions, plain in place of transposed ones.

With stride 1 a convolution is the transposed one with its taps reversed (k' = K - 1 - k) and its padding turned: what
`o - p + k d` reads, `o + (d (K - 1) - p) - k' d` reads. So every family for transposed convolutions serves it; other
strides go to the direct kernel.

Limits: padding with zeros. Weights are rearranged in every call, so they follow every change of the parameter.
"""

from agent.proposers.playbook.families import direct
from agent.proposers.playbook.family import Family

WRAPPER = '''
def lead(values, fill):
    """(depth, height, width) from one, two or three values."""
    return (fill,) * (3 - len(values)) + tuple(values)


def zeros_around(m):
    """(zeros before the first position, zeros on both sides together) of every dimension."""
    reach = [d * (k - 1) for d, k in zip(m.dilation, m.kernel_size)]
    if m.padding == "same":
        return [r // 2 for r in reach], reach
    each = [0] * len(reach) if m.padding == "valid" else list(m.padding)
    return each, [2 * p for p in each]


def convolution(x, m):
    """The convolution `m` of x, for every legal argument of `m` but a padding mode."""
    rank = len(m.kernel_size)
    if x.dim() not in (rank + 1, rank + 2) or x.shape[-rank - 1] != m.in_channels:
        raise ValueError(f"expected (N, {m.in_channels}, ...) with {rank} spatial dimensions, got {tuple(x.shape)}")
    if x.dtype != m.weight.dtype or x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"expected fp32, fp16 or bf16 and one type throughout, got {x.dtype} and {m.weight.dtype}")
    if m.padding_mode != "zeros":
        raise ValueError(f"only zeros are padded, not {m.padding_mode}")
    batched = x if x.dim() == rank + 2 else x.unsqueeze(0)
    before, both = zeros_around(m)
    size = [(i + b - d * (k - 1) - 1) // s + 1 for i, b, d, k, s in zip(
        batched.shape[2:], both, m.dilation, m.kernel_size, m.stride)]
    if min(size) < 1:
        raise ValueError(f"the kernel is larger than the padded input {tuple(x.shape)}")
    if max(math.prod(size), batched[0, 0].numel()) >= 2**31:
        raise ValueError("more than 2**31 - 1 positions in one channel")
    y = torch.empty((batched.shape[0], m.out_channels, *size), device=x.device, dtype=x.dtype)
    if y.numel():
        convolve(batched.contiguous(), y, m, before)
    return y if x.dim() == rank + 2 else y.squeeze(0)
'''

_MIRRORED = '''
class Mirrored:
    """A convolution as the transposed one that has the same values: taps reversed, outputs `steps` positions apart."""

    def __init__(self, m, before):
        self.in_channels, self.out_channels, self.groups = m.in_channels, m.out_channels, m.groups
        self.kernel_size, self.dilation, self.steps = m.kernel_size, m.dilation, m.stride
        self.stride = (1,) * len(m.stride)
        self.padding = tuple(d * (k - 1) - p for d, k, p in zip(m.dilation, m.kernel_size, before))


def mirrored(w, groups):
    """[out channel, in channel of a group, tap] as [in channel, out channel of a group, reversed tap]."""
    by_group = w.unflatten(0, (groups, w.shape[0] // groups)).transpose(1, 2)
    return by_group.flatten(0, 1).flip(tuple(range(2, w.dim()))).contiguous()


def convolve(x, y, m, before):
    """The kernels for transposed convolutions where they serve this, otherwise the direct one."""
    turned = Mirrored(m, before)
    serves = set(m.stride) == {1} and min(turned.padding) >= 0
    (launch if serves else launch_direct)(x, mirrored(m.weight, m.groups), m.bias, y, turned)
'''


def wrapper_for(family: Family) -> str:
    """What stands after a family's kernels: the way to them, and the direct kernel for what they do not serve."""
    if "def convolve(" in family.kernels:
        return WRAPPER
    general = direct.KERNELS.replace("def launch(", "def launch_direct(")
    if family.kernels == direct.KERNELS:
        general = "launch_direct = launch"
    return "\n".join(("" if "def launch_direct(" in family.kernels else general, _MIRRORED, WRAPPER))
