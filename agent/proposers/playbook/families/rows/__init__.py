"""Families for reductions of rows, one file each.

Limits: what a declaration holds is agent/proposers/playbook/formulas/author.py.
"""
