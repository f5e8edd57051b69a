"""The contract as a document: AsyncAPI 3.0 of all that crosses the bus, made from the messages themselves."""
