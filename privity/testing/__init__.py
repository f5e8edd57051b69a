"""The testing kit: a real embedded home as a process, and people with profiles of their own."""
