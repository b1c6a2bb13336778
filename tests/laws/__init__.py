"""Laws: what must hold for every cell."""
