"""The `privity` command: for people, for scripts (`--json`, exit codes), and for operators."""
