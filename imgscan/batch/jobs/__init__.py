"""What a worker can be asked to do, one kind of job a file: ``run(job, context) -> bytes``.

`job.arguments` are the kind's own; the bytes that it returns are the answer. `imgscan.batch.worker.JOBS` lists them.
"""
