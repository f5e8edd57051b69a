"""A person's agent: holds the keyring, does the person's crypto steps, and trusts the backend with nothing."""
