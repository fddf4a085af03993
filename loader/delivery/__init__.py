"""Several databases, each of which gets what it lacks."""
