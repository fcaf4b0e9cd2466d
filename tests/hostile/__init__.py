"""What is hostile: values, moments, and what the world says. Nothing of ours may hurt the application."""
