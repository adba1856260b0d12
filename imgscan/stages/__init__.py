"""The stages of a scan, put together from the folders of readers; `imgscan.scan` runs them in their order."""
