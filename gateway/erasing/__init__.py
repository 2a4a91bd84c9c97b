"""Erasing at the provider, and whatever finds what is to be erased."""
