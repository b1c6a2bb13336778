"""The trainer: batches, losses, schedules, and the gradients it takes, against hand-written loops."""
