"""The benchmarks: what a home does in a second, beside what this machine could do at most, measured in one run."""
