"""The process: its signals, and what it prints."""
