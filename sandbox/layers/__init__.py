"""Kernel layers around one program, one file each; sandbox/tiers.py decides which of them a machine can give.

Limits: Linux only. Every layer raises OSError when it does not take hold; none degrades by itself.
"""
