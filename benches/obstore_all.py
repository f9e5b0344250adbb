"""Uploads a file, or all files of a directory, with obstore (object_store behind Python), 64 at a time.

    obstore_all.py URL SOURCE BUCKET PREFIX
"""

import asyncio
import pathlib
import sys

import obstore
from obstore.store import S3Store

AT_A_TIME = 64


async def upload_all(store, source, prefix):
    files = (path for path in source.rglob("*") if path.is_file()) if source.is_dir() else iter([source])

    async def worker():
        # One iterator for all: on one loop, nobody else takes the next path meanwhile.
        for path in files:
            name = path.relative_to(source) if source.is_dir() else path.name
            await obstore.put_async(store, f"{prefix}/{name}", path)

    await asyncio.gather(*(worker() for _ in range(AT_A_TIME)))


url, source, bucket, prefix = sys.argv[1:]
options = {"allow_http": True, "allow_invalid_certificates": True}
store = S3Store(bucket, endpoint=url, region="us-east-1", virtual_hosted_style_request=False, client_options=options)
asyncio.run(upload_all(store, pathlib.Path(source), prefix))
