"""Whole campaigns through real processes, with faults and kills; every message compared with the providers' ledgers."""
