"""Kernel families, one file each: a module here that declares `FAMILY` is found by itself.

Limits: what a declaration holds is agent/proposers/playbook/family.py.
"""
