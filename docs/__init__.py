"""The reference pages are generated from the code; see `generate`."""
