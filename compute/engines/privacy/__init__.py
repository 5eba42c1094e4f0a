"""The privacy gate's arithmetic: sensitivity and noise of tier 2, dominance and equal values of tier 1."""
