"""`stream-app backtest`: what a definition would have served of a file."""
