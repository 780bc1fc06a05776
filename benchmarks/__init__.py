"""Speed of what the course is built on, measured side by side with plain Python."""
