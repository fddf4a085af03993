"""One command per claim of the documentation, each with its peers."""
