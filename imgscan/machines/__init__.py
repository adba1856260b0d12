"""Sidecar files (OVF, VMX, Hyper-V) and the grouping of disk files into machines; not read yet."""
