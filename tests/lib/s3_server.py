#!/usr/bin/env python3
"""An object store for tests: PUT and GET of objects by path, kept as files in a folder.

    s3_server.py PORT FOLDER

It checks every request's signature (AWS Signature Version 4) with code of its own, which is held
against AWS' published example first, and the payload's checksum. Its one bucket is "bucket", its
credentials are those of that example. FOLDER/.fail and FOLDER/.cut hold numbers: so many requests
are answered with 503, or cut off in the middle of the body.
"""
import datetime
import hashlib
import hmac
import http.server
import os
import sys
import urllib.parse

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EMPTY = hashlib.sha256(b"").hexdigest()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(method, path, query, headers, names, payload, date, region):
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    quote = lambda text: urllib.parse.quote(text, safe="-_.~")
    canonical = "\n".join([
        method, urllib.parse.quote(urllib.parse.unquote(path), safe="/-_.~"),
        "&".join(quote(name) + "=" + quote(value) for name, value in pairs),
        "".join(name + ":" + " ".join(headers[name].split()) + "\n" for name in names),
        ";".join(names), payload])
    scope = "/".join([date[:8], region, "s3", "aws4_request"])
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = mac(mac(mac(mac(("AWS4" + SECRET).encode(), date[:8]), region), "s3"), "aws4_request")
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


# "GET Object", from AWS' documentation of the header-based authentication.
assert signature("GET", "/test.txt", "", {
    "host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9", "x-amz-content-sha256": EMPTY,
    "x-amz-date": "20130524T000000Z"}, ["host", "range", "x-amz-content-sha256", "x-amz-date"],
    EMPTY, "20130524T000000Z", "us-east-1"
) == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


class Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def error(self, status, code, message):
        body = ("<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>" %
                (code, message)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def due(self, fault):
        path = os.path.join(sys.argv[2], fault)
        left = int(open(path).read()) if os.path.exists(path) else 0
        if left > 0:
            open(path, "w").write(str(left - 1))
        return left > 0

    def refused(self, body):
        headers = {name.lower(): value for name, value in self.headers.items()}
        parts = dict(part.strip().split("=", 1)
                     for part in headers.get("authorization", "x").partition(" ")[2].split(",")
                     if "=" in part)
        if "Signature" not in parts:
            return 403, "AccessDenied", "Access Denied"
        key, day, region, _, _ = parts["Credential"].split("/")
        names = parts["SignedHeaders"].split(";")
        date = headers["x-amz-date"]
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        skew = abs(datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ") - now)
        if key != KEY:
            return 403, "InvalidAccessKeyId", "The key does not exist in our records."
        if skew > datetime.timedelta(minutes=15) or day != date[:8]:
            return 403, "RequestTimeTooSkewed", "The difference is too large."
        must = [name for name in headers if name == "host" or name.startswith("x-amz-")]
        path, _, query = self.path.partition("?")
        payload = headers["x-amz-content-sha256"]
        if not set(must) <= set(names) or parts["Signature"] != signature(
                self.command, path, query, headers, names, payload, date, region):
            return 403, "SignatureDoesNotMatch", "The signature does not match."
        if hashlib.sha256(body).hexdigest() != payload:
            return 400, "XAmzContentSHA256Mismatch", "The checksum does not match."
        if region != "us-east-1":
            return 400, "AuthorizationHeaderMalformed", "The region is wrong."
        if not path.startswith("/bucket/"):
            return 404, "NoSuchBucket", "The specified bucket does not exist."
        return None

    def place(self):
        return os.path.join(sys.argv[2], self.path[len("/bucket/"):].replace("/", "%2F"))

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        why = self.refused(body)
        if self.due(".fail"):
            self.error(503, "SlowDown", "Please reduce your request rate.")
        elif why:
            self.error(*why)
        else:
            with open(self.place() + ".new", "wb") as f:
                f.write(body)
            os.rename(self.place() + ".new", self.place())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def do_GET(self):
        why = self.refused(b"")
        if self.due(".fail"):
            self.error(500, "InternalError", "We encountered an internal error.")
        elif why:
            self.error(*why)
        elif not os.path.exists(self.place()):
            self.error(404, "NoSuchKey", "The specified key does not exist.")
        else:
            body = open(self.place(), "rb").read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.due(".cut"):
                self.wfile.write(body[:len(body) // 2])
                self.close_connection = True
            else:
                self.wfile.write(body)

    def log_message(self, *_):
        print(self.command, self.path, _[1:], flush=True)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Store).serve_forever()
