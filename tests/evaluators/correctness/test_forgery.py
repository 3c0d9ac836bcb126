"""A candidate that speaks to the judge itself: whatever it sends, it cannot pass and cannot break the judge."""

import pytest

from evaluators.rungs import interpreted

FORGED = """
    def forward(self, x):
        import sys
        frame = sys._getframe()
        while "channel" not in frame.f_locals:
            frame = frame.f_back
        channel = frame.f_locals["channel"]
        channel.send({message})
        import time
        time.sleep(30)

"""
PLAIN = {
    "type": "Tensor",
    "shape": [2, 6, 4, 6, 8],
    "dtype": "float32",
    "strides": [1152, 192, 48, 8, 1],
    "contiguous": True,
}
MESSAGES = {
    "a perfect call": {"did": "call", "outputs": [PLAIN], "report": {"launched": 1, "operators": {}, "direct": True}},
    "outputs of another kind": {"did": "call", "outputs": 5, "report": {"launched": 1}},
    "report of another kind": {"did": "call", "outputs": [PLAIN], "report": [1, 2]},
    "shapes of another kind": {
        "did": "call",
        "outputs": [{"type": "Tensor", "shape": "many", "dtype": {}}],
        "report": {"launched": 1},
    },
    "bounds of another kind": {"did": "call", "outputs": [PLAIN], "report": {"launched": 1, "out_of_bounds": {"a": 1}}},
    "a fault of another kind": {"fault": 17, "message": {"a": []}, "line": "x", "unsupported": [], "report": 3},
    "out of turn": {"did": "build", "state": []},
    "nothing": {},
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_forged_answer_cannot_pass(check, honest, small, replaced, name, monkeypatch):
    monkeypatch.setattr(interpreted, "CALL_LIMIT_S", 3.0)
    forward = FORGED.replace("{message}", repr(MESSAGES[name]))
    text = replaced(honest("direct_triton"), "    def forward(self, x):\n", forward + "    def compute(self, x):\n")
    found = check(text, small)
    assert found.failure is not None
    assert found.failure.message


def test_a_flood_of_heartbeats_ends_at_the_limit(check, honest, small, replaced, monkeypatch):
    monkeypatch.setattr(interpreted, "CALL_LIMIT_S", 0.8)
    forward = FORGED.replace("channel.send({message})", "[channel.send({'beat': 'x'}) for _ in iter(int, 1)]")
    text = replaced(honest("direct_triton"), "    def forward(self, x):\n", forward + "    def compute(self, x):\n")
    found = check(text, small)
    assert found.failure is not None or "still running" in found.unverified


def test_a_claim_that_the_harness_cannot_is_never_passed(check, honest, small, replaced, monkeypatch):
    """The other geometries are asked all the same, and the process that claimed it is asleep then."""
    monkeypatch.setattr(interpreted, "CALL_LIMIT_S", 3.0)
    claim = {"fault": "NotImplementedError", "message": "", "unsupported": "cannot", "report": {}}
    forward = FORGED.replace("{message}", repr(claim))
    text = replaced(honest("direct_triton"), "    def forward(self, x):\n", forward + "    def compute(self, x):\n")
    found = check(text, small)
    assert found.unverified == "cannot" or found.failure.kind == "timeout"
