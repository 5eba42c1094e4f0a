"""Scores and models over the columns of several owners, seen by none of them. See docs/subsystems/scoring.md."""
