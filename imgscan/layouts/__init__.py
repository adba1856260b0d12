"""On-disk structures, the only importer of construct; each module names its specification and section."""
