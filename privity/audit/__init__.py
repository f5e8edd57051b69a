"""The audit's export: a file that proves what a home's log holds, and that anybody can verify without a backend."""
