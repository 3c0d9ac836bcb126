"""A correct kernel with one mistake: each is found, at the right place, with a message that names it."""

import time

import pytest

STORE = "tl.store(y_ptr + offs, acc, mask=live)"
GRID = "(triton.cdiv(total, BLOCK),)"
WEIGHT = "(ic * OCG + ocl) * (KD * KH * KW) + tap"

# name: (changes, kind, what the message must say)
ON_PUBLISHED_SETTINGS = {
    "store mask dropped": ((STORE, "tl.store(y_ptr + offs, acc)"), "runtime_error", "out-of-bounds store"),
    "grid too short": (
        (GRID, "(triton.cdiv(total, BLOCK) - 1,)", "BLOCK = 1024", "BLOCK = 64"),
        "incorrect_numerical",
        "never written",
    ),
    "a tap skipped": (("for kw in range(KW)", "for kw in range(KW - 1)"), "incorrect_numerical", "elements wrong"),
    "half of the sum": (("for c in range(ICG)", "for c in range(ICG // 2)"), "incorrect_numerical", "elements wrong"),
}
ONLY_ON_OTHERS = {
    "padding lost": (("oh + PH - kh", "oh - kh"), "the padding is ignored|elements wrong"),
    "stride test lost": (
        (" & (td % SD == 0)", "", " & (th % SH == 0)", "", " & (tw % SW == 0)", ""),
        "wrong where the stride is above 1",
    ),
    "bias lost": (("if HAS_BIAS:", "if False:"), "the bias is not added"),
    "group lost": (("ic = g * ICG + c\n", "ic = c\n"), "elements wrong"),
    "input group lost": (("(n * IC + ic) *", "(n * IC + c) *"), "groups are ignored"),
    "kernel dimensions swapped": (
        (" tap = (kd * KH + kh) * KW + kw", " tap = (kd * KH + kw % KH) * KW + kh % KW"),
        "elements wrong",
    ),
    "weight layout": (
        (WEIGHT, "((g * OCG + ocl) * ICG + c) * (KD * KH * KW) + tap"),
        "(in_channels, out_channels/groups, *kernel)",
    ),
    "kernel flipped": (
        ("(kd * KH + kh) * KW + kw", "((KD - 1 - kd) * KH + KH - 1 - kh) * KW + KW - 1 - kw"),
        "the kernel is flipped",
    ),
}


@pytest.mark.parametrize("name", ON_PUBLISHED_SETTINGS)
def test_a_mistake_on_the_published_settings(check, honest, small, replaced, name):
    changes, kind, said = ON_PUBLISHED_SETTINGS[name]
    found = check(replaced(honest("direct_triton"), *changes), small)
    assert found.failure.kind == kind
    assert said in found.failure.message
    assert [c.name for c in found.checks if c.status == "failed"]


@pytest.mark.parametrize("name", ONLY_ON_OTHERS)
def test_a_mistake_that_the_published_settings_may_hide(check, honest, stride_one, replaced, name):
    changes, said = ONLY_ON_OTHERS[name]
    found = check(replaced(honest("direct_triton"), *changes), stride_one)
    assert found.failure.kind == "incorrect_numerical"
    assert "geometry (Model(" in found.failure.message
    assert any(text in found.failure.message for text in said.split("|"))


def test_a_dropped_tail_mask_of_the_reduction(check, honest, small, replaced):
    text = honest("implicit_gemm_dot")
    found = check(replaced(text, "mask=v[:, None] & (c < ICG)[None, :]", "mask=v[:, None]"), small)
    assert found.failure.kind in ("runtime_error", "incorrect_numerical")


def test_a_geometry_refused_by_raising_is_scope_not_failure(check, honest, stride_one, replaced):
    guard = "m = self.conv_transpose3d\n        if m.groups != 1:\n            raise NotImplementedError('groups')\n"
    text = replaced(honest("direct_triton"), "m = self.conv_transpose3d\n        x =", guard + "        x =")
    found = check(text, stride_one)
    assert found.failure is None
    assert len(found.scope) == 2
    assert all("groups=2" in refused and "NotImplementedError" in refused for refused in found.scope)
    assert "2 refused by raising" in next(c.detail for c in found.checks if c.name == "general")


def test_raising_on_the_problems_own_settings_is_a_runtime_error(check, honest, small, replaced):
    found = check(replaced(honest("direct_triton"), "total = y.numel()", "total = y.numels()"), small)
    assert found.failure.kind == "runtime_error"
    assert "numels" in found.failure.message
    assert "line 71" in found.failure.message


def test_other_parameters_are_named_with_their_shapes(check, honest, small, replaced):
    found = check(replaced(honest("direct_triton"), "self.conv_transpose3d", "self.deconvolution"), small)
    assert found.failure.kind == "incorrect_weights"
    for text in ("missing conv_transpose3d.weight (4, 3, 3, 2, 2)", "unknown deconvolution.weight"):
        assert text in found.failure.message


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ("return y.double()", "incorrect_dtype", "float32"),
        ("return y[..., :-1].contiguous()", "incorrect_shape", "output shape must be"),
        ("return y.transpose(3, 4).contiguous().transpose(3, 4)", "incorrect_shape", "contiguous"),
        ("return [y, y]", "incorrect_shape", "1 tensor"),
        ("return nn.Parameter(y)", "rejected", "plain torch.Tensor"),
    ],
)
def test_the_contract_of_the_output(check, honest, small, replaced, change, kind, said):
    found = check(replaced(honest("direct_triton"), "return y", change), small)
    assert found.failure.kind == kind
    assert said in found.failure.message


def test_a_mistake_that_only_the_published_size_shows(check, honest, stride_one, replaced):
    """Batch items from the ninth on read another item where planes are large; no geometry has more of both."""
    other = "n = t // OC\n    m = tl.where(ID * IH * IW > 30000, n % 8, n)"
    found = check(replaced(honest("direct_triton"), "n = t // OC", other, "(n * IC + ic)", "(m * IC + ic)"), stride_one)
    assert found.failure.kind == "incorrect_numerical"
    assert found.failure.message.startswith("published size, output index (15,")


def test_a_read_out_of_bounds_that_only_the_published_size_shows(check, honest, stride_one, replaced):
    beyond = "spatial + (n == 15) * (ID * IH * IW // 30000) * 70000000"
    found = check(
        replaced(honest("direct_triton"), "(ID * IH * IW) + spatial", f"(ID * IH * IW) + {beyond}"), stride_one
    )
    assert found.failure.kind == "runtime_error"
    assert "at the published size" in found.failure.message


def test_partial_sums_of_atomics_are_not_called_wrong(check, honest, stride_one, replaced):
    """Split over the depth of the kernel: an output is complete only when every program has run."""
    text = replaced(
        honest("direct_triton"),
        *("for kd in range(KD):", "kd = tl.program_id(1)\n    if True:"),
        *("tl.load(b_ptr + oc, mask=live, other=0.0)", "tl.load(b_ptr + oc, mask=live & (kd == 0), other=0.0)"),
        *("tl.store(y_ptr + offs, acc, mask=live)", "tl.atomic_add(y_ptr + offs, acc, mask=live)"),
        *("torch.empty((N", "torch.zeros((N", "(triton.cdiv(total, BLOCK),)", "(triton.cdiv(total, BLOCK), KD)"),
    )
    found = check(text, stride_one)
    assert (found.failure, found.unverified) == (None, "")
    values = next(c for c in found.checks if c.name == "full_size_values")
    assert values.status == "not_checked"
    assert "atomics" in values.detail


def test_work_skipped_at_the_published_size_shows_where_torch_has_moved_it(check, honest, stride_one, replaced):
    fewer = "for c in range(tl.where(M > 100000, ICG // 4, ICG))"
    found = check(replaced(honest("permuted_channels_last"), "for c in range(ICG)", fewer), stride_one)
    assert found.failure.kind == "incorrect_numerical"
    assert found.failure.message.startswith("published size, output index (")


@pytest.mark.parametrize("width", ["x.shape[1]", "x.shape[1] // 2"], ids=["right", "wrong"])
def test_fewer_launches_at_the_published_size_leave_no_values_open(check, scaled, width):
    forward = f"""
    y = torch.empty_like(x)
    sizes = (triton.cdiv(x.numel(), 1024),)
    if x.shape[0] < 3000:
        scaled[sizes](x, self.scale, torch.empty_like(x), x.numel(), x.shape[1], BLOCK=1024)
    scaled[sizes](x, self.scale, y, x.numel(), x.shape[1] if x.shape[0] < 3000 else {width}, BLOCK=1024)
    return y
    """
    found = check(scaled(forward=forward))
    values = next(c for c in found.checks if c.name == "full_size_values")
    assert values.status == ("failed" if "//" in width else "passed"), values.detail


def test_half_precision_at_the_published_size_only_is_found(check, honest, stride_one, replaced):
    half = "(xv.to(tl.float16) * wv.to(tl.float16)).to(tl.float32)"
    text = replaced(honest("direct_triton"), "acc += xv * wv", f"acc += {half} if total > 1000000 else xv * wv")
    assert "published size" in check(text, stride_one).failure.message


def test_batch_items_left_out_at_the_published_size_are_not_passed(check, honest, stride_one, replaced):
    half = "mask=live & ((offs < total // 2) | (total < 1000000)))"
    text = replaced(
        honest("direct_triton"), "tl.store(y_ptr + offs, acc, mask=live)", f"tl.store(y_ptr + offs, acc, {half}"
    )
    found = check(text, stride_one)
    assert found.failure is None
    assert "stay unwritten" in found.unverified


def test_what_is_wrong_ends_everything_that_runs_beside(check, honest, stride_one, replaced):
    changes, _ = ONLY_ON_OTHERS["bias lost"]
    slow = "    def forward(self, x):\n        if x.numel() > 1_000_000:\n            import time\n            time.sleep(25)\n"
    text = replaced(honest("direct_triton"), *changes, "    def forward(self, x):\n", slow)
    begun = time.monotonic()
    assert "bias is not added" in check(text, stride_one).failure.message
    assert time.monotonic() - begun < 15
