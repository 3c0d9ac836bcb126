"""Reading a disassembly: loops, classes, widths."""

import pytest

from evaluators.compiled.cubin import UnreadableCubin, functions
from evaluators.compiled.opcodes import access_bits, class_of, mma_flop
from evaluators.compiled.sass import listings, parse

LISTING = """
        /*0000*/                   S2R R0, SR_CTAID.X ;                      /* 0x0000000000007919 */
        /*0010*/                   ISETP.GE.AND P0, PT, R0, 0x4, PT ;        /* 0x000000040000780c */
        /*0020*/                   LDG.E.128 R4, [R2.64] ;                   /* 0x0000000402047981 */
        /*0030*/                   FFMA R8, R4, R5, R8 ;                     /* 0x0000000504087223 */
        /*0040*/              @!P0 LDG.E R5, [R2.64+0x10] ;                  /* 0x0000100402058981 */
        /*0050*/               @P1 BRA 0x40 ;                                /* 0xffffffe000001947 */
        /*0060*/               @P0 BRA 0x20 ;                                /* 0xffffffb000000947 */
        /*0070*/                   STG.E [R2.64], R8 ;                       /* 0x0000000802007986 */
        /*0080*/                   EXIT ;                                    /* 0x000000000000794d */
        /*0090*/                   BRA 0x90;                                 /* 0xfffffff000007947 */
        /*00a0*/                   NOP;                                      /* 0x0000000000007918 */
"""


def test_loops_are_backward_branches_with_their_depth():
    code = parse("kernel", LISTING)
    assert [(loop.first, loop.last, loop.depth) for loop in code.loops] == [(2, 6, 1), (4, 5, 2)]
    assert code.hottest is code.loops[1]
    assert code.mix_pct() == {"global_load": 50.0, "branch": 50.0}
    assert code.global_load_bits() == {"32": 1, "128": 1}


@pytest.mark.parametrize(
    ("opcode", "kind"),
    [
        ("HMMA.1688.F32.TF32", "tensor"),
        ("HGMMA.64x128x16.F32", "tensor"),
        ("UTCHMMA", "tensor"),
        ("FFMA2", "fp32"),
        ("IMAD.MOV.U32", "move"),
        ("IMAD.WIDE", "integer_multiply"),
        ("UIADD3", "uniform"),
        ("LDGSTS.E.BYPASS.128", "async_copy"),
        ("LDGDEPBAR", "barrier"),
        ("LDG.E.64", "global_load"),
        ("LDSM.16.M88.4", "shared_load"),
        ("LDL.LU", "local"),
        ("REDUX.SUM", "shuffle"),
        ("RED.E.ADD.F32", "atomic"),
        ("QUX", "other"),
    ],
)
def test_classes(opcode, kind):
    assert class_of(opcode) == kind


def test_widths_and_tensor_shapes():
    assert [access_bits(opcode) for opcode in ("LDG.E", "LDG.E.64", "LDG.E.U8", "LDGSTS.E.BYPASS.128")] == [
        32,
        64,
        8,
        128,
    ]
    assert mma_flop("HMMA.1688.F32.TF32") == 2 * 16 * 8 * 8
    assert mma_flop("HGMMA.64x128x16.F32") == 2 * 64 * 128 * 16 // 4
    assert mma_flop("UTCHMMA") is None


def test_bytes_that_are_no_cubin_are_refused():
    for read in (functions, listings):
        with pytest.raises(UnreadableCubin):
            read(b"\x7fELF but not really")
