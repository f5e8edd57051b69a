"""What the contract says, held against the official schema, against the code, and against the bus."""
