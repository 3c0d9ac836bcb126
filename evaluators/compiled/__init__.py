"""What a compiled kernel says about itself: the cubin, its SASS, its TTIR, and the limits they imply.

Limits: reads binaries and text; nothing here runs a kernel, and nothing here imports torch or triton.
"""
