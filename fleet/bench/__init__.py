"""What the fleet side costs, with a peer in the same run: `make bench-fleet`, one JSON.

Costs are CPU seconds of the processes themselves, so that other work on the machine does not count
as theirs. The load's own CPU is told apart. Wall-clock figures stand beside the load average.
"""
