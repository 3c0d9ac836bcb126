"""References that are formulas: elementwise chains, reductions of rows, matrix products.

    reader.py       forward() as a formula, read with `ast`       formula.py   its nodes, with published shapes
    vocabulary.py   what torch's functions and layers compute      pointwise.py what one operator is in Triton
    workload.py     which kind of workload a formula is            evaluation.py a formula as lines of a kernel

The kernels are families like those of transposed convolutions: families/elementwise/, families/rows/,
families/products/.

Limits: straight-line forwards over floating-point tensors; anything else is NothingToPropose with the line.
"""
