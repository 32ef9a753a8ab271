"""What components that read, window and join data share: settings, times, windows, files."""
