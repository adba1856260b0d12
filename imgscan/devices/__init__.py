"""What readers read from: block devices by position, guest filesystems by path, host files under a policy, limits."""
