"""Questions asked of an installed Linux; one file per question."""
