"""Parameter spaces (what varies) and function spaces (what is answered)."""
