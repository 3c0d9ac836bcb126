"""Counting work in TTIR: exact where arguments decide it, a named lower bound where data does."""

import textwrap
import time

import pytest

from evaluators.compiled.ttir import work_per_program

GRID = (8, 1, 1)


def module(body: str) -> str:
    parameters = "%x_ptr: !tt.ptr<f32> {tt.divisibility = 16 : i32}, %y_ptr: !tt.ptr<f32>, %n: i32"
    constants = "".join(f"    %c{value} = arith.constant {value} : i32\n" for value in (0, 1, 2, 3, 8))
    return (
        f"module {{\n  tt.func public @kernel({parameters}) attributes {{noinline = false}} {{\n{constants}"
        f"{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n    tt.return\n  }}\n}}\n"
    )


LOAD = """
%p = tt.splat %x_ptr : !tt.ptr<f32> -> tensor<128x!tt.ptr<f32>>
%v = tt.load %p : tensor<128x!tt.ptr<f32>>
"""


def loads(body: str, *, dearer: bool = False, **arguments: int) -> tuple[float, set[str]]:
    """How many times a 128-element load runs, and what was not known."""
    work = work_per_program(module(body), arguments, GRID, dearer=dearer)
    return work.read_bytes.get("x_ptr", 0) / 512, work.unknown


def loop(low: str, high: str, step: str, body: str) -> str:
    inside = textwrap.indent(textwrap.dedent(body).strip(), "  ")
    return f"scf.for %i = {low} to {high} step {step}  : i32 {{\n{inside}\n}}"


def test_a_loop_over_an_argument_is_exact():
    assert loads(loop("%c0", "%n", "%c3", LOAD), n=10) == (4, set())


def test_nested_loops_multiply():
    inner = loop("%c0", "%n", "%c1", LOAD).replace("%i", "%j")
    assert loads(loop("%c0", "%c8", "%c2", inner), n=5) == (20, set())


def test_an_inner_loop_that_depends_on_the_outer_counter_is_walked():
    inner = loop("%i", "%n", "%c1", LOAD).replace("%i =", "%j =")
    assert loads(loop("%c0", "%n", "%c1", inner), n=4) == (4 + 3 + 2 + 1, set())


def test_a_branch_on_the_counter_is_decided_on_every_pass():
    body = f"""
    %r = arith.remsi %i, %c2 : i32
    %even = arith.cmpi eq, %r, %c0 : i32
    scf.if %even {{
    {textwrap.indent(LOAD.strip(), "    ").strip()}
    }}
    """
    assert loads(loop("%c0", "%n", "%c1", body), n=9) == (5, set())


def test_a_loop_over_the_program_id_is_averaged_over_programs():
    body = "%pid = tt.get_program_id x : i32\n%all = tt.get_num_programs x : i32\n" + loop("%pid", "%n", "%all", LOAD)
    amount, unknown = loads(body, n=20)
    assert amount == pytest.approx(20 / 8)
    assert unknown == set()


def test_a_branch_on_data_counts_its_cheaper_side_and_says_so():
    body = f"""
    %flag = tt.load %x_ptr : !tt.ptr<f32>
    %zero = arith.constant 0.000000e+00 : f32
    %on = arith.cmpf ogt, %flag, %zero : f32
    scf.if %on {{
      {LOAD.strip()}
    }} else {{
    }}
    """
    amount, unknown = loads(body)
    assert amount == 4 / 512
    assert any("branch on data" in note for note in unknown)
    assert loads(body, dearer=True) == (4 / 512 + 1, unknown)
    repeated = loop("%c0", "%n", "%c1", body)
    assert loads(repeated, n=1000, dearer=True)[0] == pytest.approx(1000 * (4 / 512 + 1))


def test_unknown_bounds_and_while_loops_are_named():
    bounds = "%low = tt.load %x_ptr : !tt.ptr<f32>\n%high = arith.fptosi %low : f32 to i32\n" + loop(
        "%c0", "%high", "%c1", LOAD
    )
    assert any("unknown bounds" in note for note in loads(bounds)[1])
    repeated = "scf.while : () -> () {\n  %go = arith.constant true\n  scf.condition(%go)\n} do {\n  scf.yield\n}"
    assert any("while" in note for note in loads(repeated)[1])


def test_products_by_precision():
    dot = """
    %a = arith.constant dense<1.0> : tensor<64x32xf32>
    %b = arith.constant dense<1.0> : tensor<32x16xf32>
    %c = arith.constant dense<0.0> : tensor<64x16xf32>
    %d = tt.dot %a, %b, %c, inputPrecision = tf32 : tensor<64x32xf32> * tensor<32x16xf32> -> tensor<64x16xf32>
    %e = tt.dot %a, %b, %c : tensor<64x32xf32> * tensor<32x16xf32> -> tensor<64x16xf32>
    """
    flop = 2 * 64 * 32 * 16
    assert work_per_program(module(dot), {}, GRID).dot_flop == {"tf32": flop, "ieee": flop}


def test_reductions_and_fused_arithmetic():
    body = (
        LOAD
        + """
    %m = arith.mulf %v, %v : tensor<128xf32>
    %s = arith.addf %m, %v : tensor<128xf32>
    %r = "tt.reduce"(%s) <{axis = 0 : i32}> ({
    ^bb0(%a: f32, %b: f32):
      %t = arith.addf %a, %b : f32
      tt.reduce.return %t : f32
    }) : (tensor<128xf32>) -> f32
    tt.store %y_ptr, %r : !tt.ptr<f32>
    """
    )
    work = work_per_program(module(body), {}, GRID)
    assert (work.multiplies, work.adds) == (128, 256)
    assert work.float_instructions == 256
    assert work.written_bytes == {"y_ptr": 4}


def test_a_hostile_loop_does_not_hold_the_judge():
    body = LOAD
    for counter, bound in (("%m", "%l"), ("%l", "%k"), ("%k", "%j"), ("%j", "%i"), ("%i", "%n")):
        body = loop("%c0", bound, "%c1", body).replace("%i =", f"{counter} =", 1)
    started = time.monotonic()
    work = work_per_program(module(body), {"n": 2000}, (1, 1, 1))
    assert any("too long" in note for note in work.unknown)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not MLIR at all {",
        module("scf.for %i = %c0 {\n}"),
        module("%d = tt.dot %c0"),
        module("%p = tt.get_program_id q : i32"),
        module("scf.if %c1 {\n" * 3000 + "}\n" * 3000),
    ],
    ids=["empty", "prose", "half a loop", "half a dot", "fourth axis", "nested without end"],
)
def test_text_that_is_not_ttir_counts_nothing_and_says_so(text):
    work = work_per_program(text, {}, GRID)
    assert work.unknown
    assert not work.read_bytes


def test_functions_of_libdevice_are_arithmetic_and_inline_assembly_is_not_counted():
    call = '%r = tt.extern_elementwise %v, %v, %v {{libname = "", libpath = "", pure = true, symbol = "{}"}} : '
    call += "(tensor<128xf32>, tensor<128xf32>, tensor<128xf32>) -> tensor<128xf32>"
    fused = work_per_program(module(LOAD + call.format("__nv_fmaf")), {}, GRID)
    assert (fused.multiplies, fused.adds, fused.other_float, fused.unknown) == (128, 128, 0, set())
    rounded = work_per_program(module(LOAD + call.format("__nv_fmul_rn")), {}, GRID)
    assert (rounded.multiplies, rounded.adds) == (128, 0)
    assert work_per_program(module(LOAD + call.format("__nv_expf")), {}, GRID).other_float == 128
    assembly = '%r = tt.elementwise_inline_asm "fma.rn.f32 $0, $1, $1, $1;" {constraints = "=f,f"} %v : tensor<128xf32> -> tensor<128xf32>'
    assert work_per_program(module(LOAD + assembly), {}, GRID).unknown == {"inline assembly, not counted"}


@pytest.mark.parametrize(("last", "share"), [("%n", 1 / 10), ("%c3", 1 / 4)])
def test_the_last_of_n_programs_to_count_itself_is_one_of_n(last, share):
    body = f"""
    %old = tt.atomic_rmw add, acq_rel, gpu, %y_ptr, %c1, %true : (!tt.ptr<i32>, i32, i1) -> i32
    %is_last = arith.cmpi eq, %old, {last} : i32
    scf.if %is_last {{
      {LOAD.strip()}
    }}
    """
    assert loads(body, n=9)[0] == 0
    assert loads(body, n=9, dearer=True)[0] == pytest.approx(share)
    other = body.replace("add, acq_rel", "max, acq_rel")
    assert loads(other, n=9, dearer=True)[0] == 1, "only a counter gives every number out once"
