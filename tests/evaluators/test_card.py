"""The card's lease and readings, with NVML played by a stand-in: no GPU is needed."""

from types import SimpleNamespace

import pytest

from evaluators.judge.device.card import Card


class _Nvml:
    NVMLError = RuntimeError

    def __init__(self, reasons):
        self.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: reasons
        self.nvmlDeviceGetClockInfo = lambda handle, kind: 1200


def card(nvml=None, uuid="GPU-of-a-test"):
    made = object.__new__(Card)
    made.properties, made._nvml, made._handle = SimpleNamespace(uuid=uuid), nvml, None
    return made


@pytest.mark.parametrize(
    ("reasons", "slowed", "lowered"),
    [
        (0x1, "", ()),
        (0x4, "", ("power cap",)),
        (0x44, "temperature (hardware)", ("power cap", "temperature (hardware)")),
    ],
)
def test_what_lowers_the_clock_is_named_and_only_some_of_it_spoils_a_sample(reasons, slowed, lowered):
    clocks = card(_Nvml(reasons)).clocks()
    assert (clocks.sm_mhz, clocks.slowed_by, clocks.lowered_by) == (1200, slowed, lowered)


def test_without_nvml_nothing_is_guessed():
    assert not card().has_nvml
    assert card().clocks().sm_mhz is None


def test_who_does_not_wait_for_the_lease_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with card().leased(), pytest.raises(BlockingIOError), card().leased(waits=False):
        pass
    with card().leased(waits=False):
        pass
