"""Loads what comes into a folder."""
