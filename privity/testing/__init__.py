"""The testing kit: a real embedded home as a process, people with profiles, given-when-then, and histories."""
