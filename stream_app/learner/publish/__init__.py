"""What goes to Redis after a commit: features and champions."""
