"""Benchmarks: figures and ratios taken within one run, on fixed seeds. `make bench` prints them; none is a test."""
