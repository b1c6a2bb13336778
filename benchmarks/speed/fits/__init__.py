"""The same training in five libraries, one a module, each imported in its own process.

``train(task, tuned, steps, watch) -> Trained``. *default* is what the library's documentation shows; *tuned* leaves out
logger, checkpoints, progress bar, summary and validation, and takes the fastest way to batches that it offers.
"""
