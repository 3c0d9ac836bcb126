"""The GPU files are consistent with the silicon, and every way people name a GPU finds the right one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evaluators.errors import MachineError, UnknownGpu, UsageError
from evaluators.gpu_catalog import BUILT_IN_DIR, all_gpus, detect_gpu, load_gpu

GPUS = {gpu.key: gpu for gpu in all_gpus()}
LISTED = [
    "rtx-4090",
    "rtx-4090d",
    "rtx-3090",
    "rtx-5090",
    "a100-40gb",
    "a100-80gb",
    "a100-80gb-pcie",
    "a10g",
    "l4",
    "l40s",
    "t4",
    "rtx-6000-ada",
    "rtx-pro-6000-blackwell",
    "h100-sxm",
    "h100-pcie",
    "h200",
    "b200",
]

# dense FP16 FLOP per SM and clock with fp32 accumulation; GeForce (and the A10G) run it at half the rate of their siblings
FP16_FLOP_PER_SM_CLOCK = {"7.5": 1024, "8.0": 2048, "8.6": 512, "8.9": 1024, "9.0": 4096, "10.0": 8192, "12.0": 1024}
HALF_RATE = {"rtx-4090", "rtx-4090d", "rtx-5090"}


def test_every_gpu_of_the_list_is_there():
    assert sorted(GPUS) == sorted(LISTED)


@pytest.mark.parametrize("key", LISTED)
def test_peaks_follow_from_sm_count_and_clock(key):
    gpu, peaks = GPUS[key], GPUS[key].dense_peak_tflops
    clock_thz = gpu.boost_clock_mhz * 1e-6
    cores = 64 if gpu.compute_capability in ("7.5", "8.0") else 128
    assert peaks.fp32 == pytest.approx(gpu.sm_count * cores * 2 * clock_thz, rel=0.01)
    per_clock = FP16_FLOP_PER_SM_CLOCK[gpu.compute_capability] / (2 if key in HALF_RATE else 1)
    # a figure with sparsity would be at 2.0; H100 and B200 tensor peaks are stated at a clock up to 8 % below boost
    assert 0.91 < peaks.fp16 / (gpu.sm_count * per_clock * clock_thz) < 1.005
    if peaks.tf32 is not None:
        assert peaks.bf16 == peaks.fp16
        assert peaks.tf32 == pytest.approx(peaks.fp16 / 2, rel=0.02)
    if peaks.fp8 is not None:
        assert peaks.fp8 == pytest.approx(peaks.fp16 * 2, rel=0.015)


def test_limits_depend_on_the_compute_capability_only():
    by_capability = {}
    for gpu in GPUS.values():
        limits = (
            gpu.max_warps_per_sm,
            gpu.max_blocks_per_sm,
            gpu.shared_memory_per_sm_kb,
            gpu.shared_memory_per_block_kb,
            gpu.registers_per_sm,
        )
        assert by_capability.setdefault(gpu.compute_capability, limits) == limits
    assert by_capability["8.9"] == (48, 24, 100, 99, 65536)
    assert by_capability["9.0"] == (64, 32, 228, 227, 65536)


def test_names_are_unambiguous():
    from evaluators.gpu_catalog import _normal

    owners = {}
    for gpu in GPUS.values():
        for name in {_normal(text) for text in (gpu.key, gpu.name, *gpu.aliases)}:
            assert owners.setdefault(name, gpu.key) == gpu.key
    for gpu in GPUS.values():
        assert not {_normal(text) for text in gpu.default_for} & set(owners)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("4090", "rtx-4090"),
        ("RTX 4090", "rtx-4090"),
        ("rtx4090", "rtx-4090"),
        ("geforce rtx 4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 4090 D", "rtx-4090d"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA A100 80GB PCIe", "a100-80gb-pcie"),
        ("NVIDIA A100-PCIE-40GB", "a100-40gb"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("Tesla T4", "t4"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000-blackwell"),
    ],
)
def test_names_people_and_drivers_use(name, key):
    assert load_gpu(name).key == key


@pytest.mark.parametrize(
    ("name", "key", "other"), [("A100", "a100-80gb", "a100-40gb"), ("h100", "h100-sxm", "h100-pcie")]
)
def test_a_shared_name_takes_the_default_and_says_so(name, key, other):
    gpu = load_gpu(name)
    assert gpu.key == key
    assert other in gpu.choice
    assert name in gpu.choice


@pytest.mark.parametrize(
    ("name", "nearest"), [("4091", "rtx-4090"), ("quadro rtx 6000", "rtx-6000-ada"), ("a10", "a10g"), ("", "nothing")]
)
def test_an_unknown_name_fails_in_one_line_with_the_nearest(name, nearest):
    with pytest.raises(UnknownGpu) as caught:
        load_gpu(name)
    assert nearest in str(caught.value)
    assert "agent gpus" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_user_folder_adds_and_replaces(tmp_path, monkeypatch):
    text = (BUILT_IN_DIR / "rtx-4090.toml").read_text()
    (tmp_path / "rtx-4090.toml").write_text(text.replace("sm_count = 128", "sm_count = 64"))
    (tmp_path / "my-part.toml").write_text(
        text.replace('name = "NVIDIA GeForce RTX 4090"', 'name = "Mine"').replace('["4090"]', "[]")
    )
    monkeypatch.setenv("AGENT_GPUS_DIR", str(tmp_path))
    assert load_gpu("4090").sm_count == 64
    assert load_gpu("my part").name == "Mine"
    monkeypatch.setenv("AGENT_GPUS_DIR", str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="AGENT_GPUS_DIR"):
        all_gpus()


@pytest.mark.parametrize(
    "names", ['aliases = ["RTX 4090 "]', 'aliases = []\ndefault_for = ["h100"]', 'aliases = ["H100"]']
)
def test_a_name_that_two_files_claim_is_an_error_that_names_both(tmp_path, monkeypatch, names):
    text = (BUILT_IN_DIR / "rtx-4090.toml").read_text()
    mine = text.replace('name = "NVIDIA GeForce RTX 4090"', 'name = "Mine"').replace('aliases = ["4090"]', names)
    (tmp_path / "mine.toml").write_text(mine)
    monkeypatch.setenv("AGENT_GPUS_DIR", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        load_gpu("l4")
    assert str(tmp_path / "mine.toml") in str(caught.value) and str(BUILT_IN_DIR) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("sm_count = 128", "sm_count = 'many'"), "field sm_count"),
        (("sm_count = 128", "sm_cont = 128"), "field sm_co"),
        (("fp32 = 82.6", ""), "field dense_peak_tflops.fp32"),
        (("sm_count = 128", "sm_count = "), "line 5"),
        (("warp_size = 32", 'warp_size = 32\nkey = "x"'), "field key"),
        (('source = "NVIDIA', 'source = "" # "NVIDIA'), "field source"),
    ],
)
def test_a_damaged_file_names_itself_and_the_field(tmp_path, monkeypatch, change, said):
    text = (BUILT_IN_DIR / "rtx-4090.toml").read_text()
    assert change[0] in text
    (tmp_path / "broken.toml").write_text(text.replace(*change))
    monkeypatch.setenv("AGENT_GPUS_DIR", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        all_gpus()
    assert "broken.toml" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def _nvidia_smi(folder: Path, body: str) -> str:
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin"


def test_auto_takes_the_machines_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", _nvidia_smi(tmp_path, "echo 'NVIDIA L40S'; echo 'NVIDIA L40S'"))
    assert load_gpu("auto").key == "l40s"
    monkeypatch.setenv("PATH", _nvidia_smi(tmp_path, "echo 'NVIDIA Unheard Of'"))
    with pytest.raises(UnknownGpu, match="Unheard Of"):
        detect_gpu()


@pytest.mark.parametrize("body", ["echo 'No devices were found'; exit 6", "exit 0", None])
def test_auto_without_a_gpu_is_one_clear_line(tmp_path, monkeypatch, body):
    monkeypatch.setenv("PATH", str(tmp_path) if body is None else _nvidia_smi(tmp_path, body))
    with pytest.raises(MachineError) as caught:
        detect_gpu()
    assert str(caught.value).startswith("--gpu auto: ")
    assert "\n" not in str(caught.value)


def test_the_catalogs_do_not_import_torch():
    code = (
        "import sys, json, evaluators.gpu_catalog as g, evaluators.problem_catalog as p; g.all_gpus(); p.all_problems();"
        "print(json.dumps([m for m in ('torch', 'triton', 'jinja2', 'openai') if m in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(out.stdout) == []
