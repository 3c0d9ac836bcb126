"""Registers of asynchronous products that are overwritten too early, read from instructions."""

import pytest

from evaluators.compiled.register_race import overwritten
from evaluators.compiled.sass import parse

LOOP = """
        /*0000*/                   LDSM.16.M88.4 R88, [R3] ;
        /*0010*/                   LDSM.16.M88.4 R92, [R5] ;
        /*0020*/                   WARPGROUP.ARRIVE ;
        /*0030*/                   HGMMA.64x128x16.F32 R24, R88, gdesc[UR4], R24, gsb0 ;
        /*0040*/                   WARPGROUP.DEPBAR.LE gsb0, 0x1 ;
        /*0050*/                   HGMMA.64x128x16.F32 R24, R92, gdesc[UR8], R24, gsb0 ;
        /*0060*/                   WARPGROUP.DEPBAR.LE gsb0, {pending:#x} ;
        /*0070*/               @P0 BRA 0x0 ;
        /*0080*/                   WARPGROUP.DEPBAR.LE gsb0, 0x0 ;
        /*0090*/                   EXIT ;
"""


def said(text):
    return [str(one) for one in overwritten(parse("product", text))]


def test_an_operand_loaded_before_the_last_product_has_read_its_own_is_found():
    assert said(LOOP.format(pending=1)) == ["LDSM.16.M88.4 write R92 to R95"]


def test_a_wait_for_all_products_ends_every_reading():
    assert said(LOOP.format(pending=0)) == []


def test_waits_that_lie_before_each_load_are_enough():
    staggered = LOOP.format(pending=1).replace("/*0010*/                   LDSM.16.M88.4 R92, [R5] ;", "")
    staggered = staggered.replace("/*0050*/", "/*0048*/                   LDSM.16.M88.4 R92, [R5] ;\n        /*0050*/")
    assert said(staggered) == []


@pytest.mark.parametrize(
    ("instruction", "found"),
    [
        ("MOV R91, R2", ["MOV write R91"]),
        ("@!P1 IMAD.WIDE R90, R2, R3, R4", ["IMAD.WIDE write R90 to R91"]),
        ("LDS.64 R86, [R2]", []),
        ("LDS.128 R86, [R2]", ["LDS.128 write R88 to R89"]),
        ("STG.E [R88], R2", []),
        ("ISETP.GE.AND P0, PT, R88, 0x4, PT", []),
        ("FADD R24, R88, R89", []),
        ("MOV R92, R2", []),
    ],
)
def test_what_an_instruction_writes(instruction, found):
    text = f"""
        /*0000*/                   HGMMA.64x128x16.F32 R24, R88, gdesc[UR4], R24, gsb0 ;
        /*0010*/                   {instruction} ;
        /*0020*/                   WARPGROUP.DEPBAR.LE gsb0, 0x0 ;
        /*0030*/                   {instruction} ;
        /*0040*/                   EXIT ;
    """
    assert said(text) == found


def test_products_of_a_group_are_awaited_together():
    text = """
        /*0000*/                   HGMMA.64x128x16.F32 R24, R88, gdesc[UR4], R24 ;
        /*0010*/                   HGMMA.64x128x16.F32 R24, R92, gdesc[UR8], R24, gsb0 ;
        /*0020*/                   MOV R88, R2 ;
        /*0030*/                   WARPGROUP.DEPBAR.LE gsb0, 0x0 ;
        /*0040*/                   MOV R92, R2 ;
        /*0050*/                   EXIT ;
    """
    assert said(text) == ["MOV write R88"]


def test_operands_in_shared_memory_leave_registers_alone():
    assert (
        said(
            LOOP.format(pending=1)
            .replace(" R88, gdesc", " gdesc[UR2], gdesc")
            .replace(" R92, gdesc", " gdesc[UR2], gdesc")
        )
        == []
    )
