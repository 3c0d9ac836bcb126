"""SASS opcodes by class, for compute capability 7.5 to 12.0.

Limits: classes by prefix of the mnemonic; an opcode that no prefix covers is counted as `other`, never dropped.
"""

import functools
import math
import re

_PREFIXES: tuple[tuple[str, str], ...] = (
    ("tensor", r"[HIBDQO]MMA|[HIQ]GMMA|UTC\w*MMA"),
    ("async_copy", r"LDGSTS|UBLKCP|UTMALDG|UTMASTG|UBLKPF"),
    ("uniform", r"U(?!CGABAR)"),  # once per warp, on a pipe of its own
    ("fp32", r"FFMA|FADD|FMUL|FMNMX|FSEL|FSET|FCHK|FSWZADD"),
    ("fp16", r"HADD2|HMUL2|HFMA2|HSET2|HSETP2|HMNMX2"),
    ("fp64", r"DADD|DMUL|DFMA|DSETP"),
    ("special_function", r"MUFU"),
    ("move", r"MOV|IMAD\.MOV|S2R|S2UR|CS2R|R2UR|R2B|B2R|LDC"),
    ("integer_multiply", r"IMAD|IDP|XMAD"),
    (
        "integer",
        r"IADD|LEA|LOP|SHF|ISETP|IABS|SEL|IMNMX|VIADD|VIMNMX|PLOP|P2R|R2P|BREV|FLO|POPC|PRMT|SGXT|BMSK|VABSDIFF",
    ),
    ("tensor_memory", r"LDTM|STTM"),
    ("barrier", r"BAR|WARPGROUP|ELECT|DEPBAR|LDGDEPBAR|MEMBAR|SYNCS|WARPSYNC|ERRBAR|CCTL|FENCE|ARRIVES|U?CGABAR"),
    ("global_load", r"LDG|LD$|LD\."),
    ("global_store", r"STG|ST$|ST\."),
    ("shared_load", r"LDS"),
    ("shared_store", r"STS"),
    ("local", r"LDL|STL"),
    ("atomic", r"ATOM|RED(?!UX)"),
    ("shuffle", r"SHFL|VOTE|MATCH|C?REDUX"),
    ("convert", r"F2F|F2I|I2F|I2I|F2FP|I2FP|FRND|F2IP"),
    ("branch", r"BRA|BRX|EXIT|CALL|RET|BSSY|BSYNC|BREAK|JMP|KILL|NANOSLEEP|YIELD"),
)
_CLASSES = tuple((name, re.compile(pattern)) for name, pattern in _PREFIXES)
_WIDTH = re.compile(r"\.(?:[US])?(8|16|64|128|256)\b")
_WARPGROUP_SHAPE = re.compile(r"\.(\d+)x(\d+)x(\d+)\b")

# Multiply-accumulates of one tensor-core instruction by its shape suffix, as M x N x K.
MMA_SHAPES = {
    "884": 8 * 8 * 4,
    "1684": 16 * 8 * 4,
    "1688": 16 * 8 * 8,
    "16816": 16 * 8 * 16,
    "16832": 16 * 8 * 32,
    "16864": 16 * 8 * 64,
}


@functools.lru_cache(maxsize=4096)
def class_of(opcode: str) -> str:
    """The class of one mnemonic with its modifiers, for example `LDG.E.128` -> `global_load`."""
    return next((name for name, pattern in _CLASSES if pattern.match(opcode)), "other")


def access_bits(opcode: str) -> int:
    """Bits per thread that a load or store moves: 32 where the mnemonic names no width."""
    found = _WIDTH.search(opcode)
    return int(found[1]) if found else 32


def mma_flop(opcode: str) -> int | None:
    """FLOP of one warp's share of a tensor-core instruction; None where the mnemonic names no shape (tcgen05)."""
    group = _WARPGROUP_SHAPE.search(opcode)
    if group:  # four warps execute it together
        return 2 * math.prod(map(int, group.groups())) // 4
    shape = next((MMA_SHAPES[part] for part in opcode.split(".") if part in MMA_SHAPES), None)
    return None if shape is None else 2 * shape
