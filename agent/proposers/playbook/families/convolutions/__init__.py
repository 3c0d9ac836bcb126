"""Families for convolutions with a stride, one file each; with stride 1 a convolution is a transposed one, mirrored.

Limits: what a declaration holds is agent/proposers/playbook/family.py.
"""
