"""The commands `restore bench` and `restore data`."""
