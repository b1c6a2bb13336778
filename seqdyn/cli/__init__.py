"""The command line: `seqdyn demo | fit | predict`, one command a file."""
