"""Doors: bytes from the world -> Exchange or Call. One file a door; doors know neither prices nor the store."""
