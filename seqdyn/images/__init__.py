"""Pictures: models that write them, and models that tell what they show."""
