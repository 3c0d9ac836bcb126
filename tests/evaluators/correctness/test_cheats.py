"""Cheats that the numbers alone must defeat, each a few lines around an honest kernel."""

import pytest

FORWARD = "    def forward(self, x):\n"

CACHED_BY_ADDRESS = """
    def forward(self, x):
        if getattr(self, "_seen", None) is None:
            self._seen = {}
        key = (x.data_ptr(), tuple(x.shape))
        if key not in self._seen:
            self._seen[key] = self.compute(x)
        return self._seen[key].clone()

"""
CACHED_BY_SAMPLE = CACHED_BY_ADDRESS.replace(
    "(x.data_ptr(), tuple(x.shape))", "(tuple(x.flatten()[:4].tolist()), tuple(x.shape))"
)
STALE_WEIGHTS = """
    def forward(self, x):
        if getattr(self, "_held", None) is None:
            self._held = self.conv_transpose3d.weight.detach().clone()
        kept = self.conv_transpose3d.weight
        self.conv_transpose3d.weight = nn.Parameter(self._held)
        y = self.compute(x)
        self.conv_transpose3d.weight = kept
        return y

"""
REPLAYED = """
    def forward(self, x):
        self._calls = getattr(self, "_calls", 0) + 1
        if self._calls <= 5 or self._last.shape[0] != x.shape[0]:
            self._last = self.compute(x)
        return self._last.clone()

"""
MUTATES_INPUT = """
    def forward(self, x):
        y = self.compute(x)
        x.zero_()
        return y

"""
MUTATES_WEIGHTS = """
    def forward(self, x):
        y = self.compute(x)
        self.conv_transpose3d.weight.data.mul_(1.0000001)
        return y

"""
LIBRARY_ON_CPU = """
    def forward(self, x):
        if not x.is_cuda or x.device.type != "cuda" or not torch.cuda.is_available():
            return self.conv_transpose3d(x)
        return self.compute(x)

"""
LIBRARY = """
    def forward(self, x):
        return self.conv_transpose3d(x)

"""
FALLBACK = """
    def forward(self, x):
        try:
            ct3d_direct[(1,)](x)
        except Exception:
            return self.conv_transpose3d(x)

"""
DECOY = """
    def forward(self, x):
        self.compute(x)
        return self.conv_transpose3d(x)

"""
FINISHED_BY_LIBRARY = """
    def forward(self, x):
        return self.compute(x) * 1.0

"""
LEAVES = """
    def forward(self, x):
        import os
        print('{"verdict": "passed"}', flush=True)
        os._exit(0)

"""

EXPECTED = {
    "cached by address": (CACHED_BY_ADDRESS, "rejected"),
    "cached by a sample of the content": (CACHED_BY_SAMPLE, "rejected"),
    "stale weights": (STALE_WEIGHTS, "incorrect_numerical"),
    "replayed after five calls": (REPLAYED, "rejected"),
    "changes its input": (MUTATES_INPUT, "rejected"),
    "changes its weights": (MUTATES_WEIGHTS, "rejected"),
    "library": (LIBRARY, "rejected"),
    "library behind a failing launch": (FALLBACK, "rejected"),
    "library after a decoy": (DECOY, "rejected"),
    "library arithmetic on the kernel's result": (FINISHED_BY_LIBRARY, "rejected"),
    "ends the process": (LEAVES, "crashed"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_cheat_is_rejected(check, honest, small, replaced, name):
    forward, kind = EXPECTED[name]
    text = replaced(honest("direct_triton"), FORWARD, forward + "    def compute(self, x):\n")
    assert check(text, small).failure.kind == kind


def test_a_guard_for_cpu_tensors_does_not_hide_the_kernel(check, honest, small, replaced):
    text = replaced(honest("direct_triton"), FORWARD, LIBRARY_ON_CPU + "    def compute(self, x):\n")
    assert check(text, small).failure is None


def test_half_precision_inside(check, honest, small, replaced):
    product = "(xv.to(tl.float16) * wv.to(tl.float16)).to(tl.float32)"
    cheat = replaced(honest("direct_triton"), "acc += xv * wv", f"acc += {product}")
    grouped = check(cheat, small)  # cuDNN runs grouped convolutions in float32: no TF32 class
    assert grouped.failure.kind == "incorrect_numerical"
    assert "allowed 1e-06" in grouped.failure.message
    found = check(cheat, replaced(small, "groups = 2", "groups = 1"))
    assert found.failure.kind == "incorrect_numerical"
    unusual = ("inputs times", "different size", "weights times")  # range, not rounding, tells half precision from TF32
    assert any(words in found.failure.message for words in unusual)


def test_constants_of_the_published_problem(check, honest, small, replaced):
    text = replaced(
        honest("direct_triton"), "torch.empty((N, m.out_channels, OD, OH, OW)", "torch.empty((2, 6, 6, 8, 10)"
    )
    assert check(text, small).failure.kind in ("incorrect_shape", "runtime_error")  # it may read past the smaller input


def test_one_buffer_for_all_results(check, honest, small, replaced):
    kept = "y = self.__dict__.setdefault('_y', {}).setdefault(x.shape, torch.empty((N, m.out_channels, OD, OH, OW)"
    text = replaced(
        honest("direct_triton"),
        "y = torch.empty((N, m.out_channels, OD, OH, OW)",
        kept,
        "dtype=x.dtype)",
        "dtype=x.dtype))",
    )
    found = check(text, small)
    assert found.failure.kind == "rejected"
    assert "fresh memory" in found.failure.message


def test_most_of_the_output_left_as_it_came(check, honest, small, replaced):
    found = check(
        replaced(honest("direct_triton"), "(triton.cdiv(total, BLOCK),)", "(1,)", "BLOCK = 1024", "BLOCK = 64"), small
    )
    assert found.failure.kind == "incorrect_numerical"
    assert "never written" in found.failure.message


def test_work_handed_to_a_thread(check, honest, small, replaced):
    forward = (
        FORWARD
        + """        import threading
        y = torch.empty((2, 6, *[2 * s for s in x.shape[2:]]))
        threading.Timer(0.2, lambda: y.copy_(self.compute(x))).start()
        return y

    def compute(self, x):
"""
    )
    assert check(replaced(honest("direct_triton"), FORWARD, forward), small).failure.kind in (
        "rejected",
        "incorrect_numerical",
    )


def test_library_code_inside_a_kernels_body(check, honest, small, replaced):
    """The interpreter runs any Python that stands in a kernel; the operator is dispatched all the same."""
    body = "    torch.nn.functional.relu(torch.ones(2))\n    offs = tl.program_id(0)"
    found = check(replaced(honest("direct_triton"), "    offs = tl.program_id(0)", body), small)
    assert "aten.relu" in found.failure.message


CACHED_REPACKING = """
    def forward(self, x):
        w = self.conv_transpose3d.weight
        mark = (w._version, float(w.sum()), bool((w == w).all()))
        if getattr(self, "_mark", None) != mark:
            self._mark, self._packed = mark, torch.cat([w, w])[: w.shape[0]].contiguous()
        return self.compute(x)

"""


def test_repacked_weights_that_follow_every_change_are_honest(check, honest, small, replaced):
    text = replaced(
        honest("direct_triton"),
        "w = m.weight.contiguous()",
        "w = self._packed",
        FORWARD,
        CACHED_REPACKING + "    def compute(self, x):\n",
    )
    found = check(text, small)
    assert (found.failure, found.unverified) == (None, "")


def test_a_problem_may_let_an_operator_stand(small):
    from evaluators.judge.own_arithmetic import is_lawful

    assert not is_lawful("aten.relu", frozenset())
    assert is_lawful("aten.relu", frozenset(["aten.relu"]))
    assert is_lawful("aten.sum:scalar", frozenset())
    assert not is_lawful("aten.sum", frozenset())
