"""What an owner keeps: finished videos, and the people they are made with."""
