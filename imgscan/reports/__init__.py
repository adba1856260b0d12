"""Report formats: each module renders a report to text, one shape."""
