"""What a partly executed kernel wrote into a large, lazily allocated tensor: only pages that were written exist.

Limits: Linux; memory must come fresh from the system (`fresh_pages`); a zero among other values of a page looks
unwritten; of a tensor that was zeroed as a whole only values other than zero are seen.
"""

import ctypes
import mmap

import torch

_M_MMAP_THRESHOLD = -3
_PR_SET_THP_DISABLE = 41
FRESH_BYTES = 1 << 20
_LEAST_BYTES = 4 << 20  # smaller tensors are scanned by nobody: a few pages would be all there is


def fresh_pages() -> None:
    """Give every allocation of a megabyte pages of its own, 4 KiB each, that do not exist before they are written."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mallopt(_M_MMAP_THRESHOLD, FRESH_BYTES)
    libc.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


def written_elements(tensor: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Offsets and values of at most `most` written elements of a contiguous tensor, evenly chosen."""
    flat = tensor.detach().reshape(-1) if tensor.is_contiguous() else tensor.new_empty(0)
    pages = _existing_pages(flat) if flat.nbytes >= _LEAST_BYTES else torch.empty(0, dtype=torch.int64)
    per_page = mmap.PAGESIZE // flat.element_size()
    skipped = -flat.data_ptr() % mmap.PAGESIZE // flat.element_size()  # elements before the first whole page
    whole = flat[skipped : skipped + (flat.numel() - skipped) // per_page * per_page].reshape(-1, per_page)
    is_nonzero = whole[pages] != 0
    if 2 * len(pages) < len(whole):  # not zeroed as a whole: a page of zeros was written with zeros
        is_nonzero |= ~is_nonzero.any(dim=1, keepdim=True)
    row, column = torch.nonzero(is_nonzero, as_tuple=True)
    offsets = skipped + pages[row] * per_page + column
    if len(offsets) > most:
        offsets = offsets[torch.linspace(0, len(offsets) - 1, most, dtype=torch.float64).long()]
    return offsets, flat[offsets]


def _existing_pages(flat: torch.Tensor) -> torch.Tensor:
    """Numbers of the whole pages of a tensor that exist, counted from its first whole page."""
    first = -(-flat.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    count = (flat.data_ptr() + flat.nbytes - first) // mmap.PAGESIZE
    flags = (ctypes.c_ubyte * count)()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mincore(ctypes.c_void_p(first), ctypes.c_size_t(count * mmap.PAGESIZE), flags) != 0:
        return torch.empty(0, dtype=torch.int64)
    return torch.nonzero(torch.frombuffer(flags, dtype=torch.uint8) & 1).reshape(-1)
