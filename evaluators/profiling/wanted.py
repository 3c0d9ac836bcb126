"""What every profile holds beside the metrics of its stage: enough to place a kernel on the roofline.

Limits: names of Nsight Compute for compute capability 8.0 to 12.0; what a chip lacks is listed as missing.
"""

from evaluators.measurement import DRAM_BYTES, DURATION

LAUNCHES = "launches"  # of one kernel in the marked call: counted by us, no metric of Nsight Compute
ALWAYS = (
    DURATION,
    DRAM_BYTES,
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "lts__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
)
