"""Models that generate pictures, and a model that describes them."""
