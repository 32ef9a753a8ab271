"""What the components that read, window and join data share: settings, times, windows, Examples files."""
