"""Families for matrix products, one file each.

Limits: what a declaration holds is agent/proposers/playbook/formulas/author.py.
"""
