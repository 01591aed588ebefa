"""Test sets by name, and how one comes to this machine."""
