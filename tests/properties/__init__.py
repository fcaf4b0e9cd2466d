"""What holds for whatever comes: a file for each kind of room."""
