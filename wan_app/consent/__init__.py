"""Who stated that a person may be shown and heard: kept, looked up, and taken back."""
