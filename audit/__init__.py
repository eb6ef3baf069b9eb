"""Who changed what, when, from where and why. Services write the entries; the app knows no other app's models."""
