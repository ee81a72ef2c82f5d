"""How the backup safety model is made: recorded closed-loop runs, a small network, quantiles."""
