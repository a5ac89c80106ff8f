#!/usr/bin/env python3
"""What another client of S3 (boto3) finds in a store.

    look.py make ENDPOINT BUCKET          makes the bucket
    look.py fetch ENDPOINT BUCKET FOLDER  all objects below a/b/ become files of FOLDER; objects
                                          NAME, NAME.1, NAME.2 ... one file
    look.py delete ENDPOINT BUCKET KEY    deletes an object

Prints the objects' names. Credentials and region are taken from the environment.
"""
import os
import re
import sys

import boto3
import botocore.config

verb, endpoint, bucket = sys.argv[1:4]
client = boto3.client("s3", endpoint_url=endpoint, config=botocore.config.Config(
    signature_version="s3v4", s3={"addressing_style": "path"}))
if verb == "make":
    client.create_bucket(Bucket=bucket)
elif verb == "delete":
    client.delete_object(Bucket=bucket, Key=sys.argv[4])
else:
    parts = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="a/b/"):
        for item in page.get("Contents", []):
            name = item["Key"][len("a/b/"):]
            print(name, item["Size"])
            whole, number = re.fullmatch(r"(.*?\.(?:json|rdb|hfr))(?:\.(\d+))?", name).groups()
            body = client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
            assert len(body) == item["Size"], name
            parts.setdefault(whole, {})[int(number or 0)] = body
    for whole, pieces in parts.items():
        assert sorted(pieces) == list(range(len(pieces))), whole
        with open(os.path.join(sys.argv[4], whole), "wb") as f:
            for number in sorted(pieces):
                f.write(pieces[number])
