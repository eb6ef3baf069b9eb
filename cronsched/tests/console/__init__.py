"""The console as all its pages share it."""
