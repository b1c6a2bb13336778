"""The command line: `seqdyn demo | fit | predict | forecast | backtest`, one command a file."""
