"""Questions of speed and of quality, one a file: ``python -m benchmarks list | run NAME | table``."""
