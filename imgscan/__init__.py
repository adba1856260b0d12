"""imgscan: will this exported virtual machine import and boot on the target, and if not, why?

Read `imgscan.scan` first, then `imgscan.model`.
"""
