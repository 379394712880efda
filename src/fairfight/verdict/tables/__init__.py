"""Anybody's table of scores: read, linted, judged. Scores without examples support less than a run does, and say so."""
