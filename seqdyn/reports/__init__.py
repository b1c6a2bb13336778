"""Reports on models: what they are worth beside each other, and how stable they are."""
