"""Questions asked of what is installed: boot code, boot files, Linux and Windows systems."""
