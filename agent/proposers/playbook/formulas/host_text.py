"""Host-side functions that several families of formulas share, as text.

Limits: text only; tensors of one floating-point type.
"""

CHECKED = '''
def checked(tensors, columns=()):
    """The tensors, of one type and shape, contiguous; raises where they are not what the kernels compute with."""
    dtype = tensors[0].dtype
    known = (torch.float32, torch.float16, torch.bfloat16)
    if dtype not in known or {t.dtype for t in (*tensors, *columns)} != {dtype}:
        raise TypeError(f"expected fp32, fp16 or bf16 and one type throughout, got {[t.dtype for t in tensors]}")
    return [t.contiguous() for t in torch.broadcast_tensors(*tensors)]
'''
