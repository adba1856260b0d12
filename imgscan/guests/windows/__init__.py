"""Questions asked of an installed Windows; one file per question."""
