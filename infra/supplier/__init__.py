"""A supplier: one process that keeps sealed fragments of files, and serves who proves that they may have them."""
