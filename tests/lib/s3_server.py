#!/usr/bin/env python3
"""An object store for tests: PUT, GET and HEAD of objects by path, kept as files in a folder.

    s3_server.py PORT FOLDER [CERTIFICATE]

It checks every request's signature (AWS Signature Version 4) with code of its own, which is held
against AWS' published example first, and the payload's checksums. Its one bucket is "bucket", also
below "/behind/a/path"; its credentials are those of that example. With a certificate (and its key,
in one file) it speaks HTTPS. It takes the requests of a proxy's client as well.

Files of FOLDER have it do wrong. These hold numbers, so many requests are
    .fail    answered with 503
    .later   answered with 503, and told to come again in a second
    .slow    answered as if they had come too slowly
    .cut     cut off in the middle of the body
    .quota   (PUTs) taken, and those that follow are refused
and with these, requests are answered with
    .skew    RequestTimeTooSkewed
    .moved   301, the bucket being in eu-west-1
    .other   307, to another host
.hold holds a text: with the next PUT of an object in whose name it is, .hold becomes .held, and the
object is taken when that is removed.
"""
import base64
import datetime
import hashlib
import hmac
import http.server
import os
import ssl
import sys
import time
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

    def error(self, status, code, message, more="", headers=()):
        body = ("<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>%s</Message>%s</Error>" %
                (code, message, more)).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fault(self, name):
        return os.path.exists(os.path.join(sys.argv[2], name))

    def due(self, fault):
        path = os.path.join(sys.argv[2], fault)
        left = int(open(path).read()) if os.path.exists(path) else 0
        if left > 0:
            open(path, "w").write(str(left - 1))
        return left > 0

    def goes_wrong(self):
        if self.due(".fail"):
            self.error(503, "SlowDown", "Please reduce your request rate.")
        elif self.due(".later"):
            self.error(503, "SlowDown", "Come again.", headers=[("Retry-After", "1")])
        elif self.due(".slow"):
            self.error(400, "RequestTimeout", "Your socket connection was not read from in time.")
        elif self.fault(".skew"):
            self.error(403, "RequestTimeTooSkewed", "The difference is too large.")
        elif self.fault(".moved"):
            self.error(301, "PermanentRedirect", "The bucket must be addressed elsewhere.",
                       headers=[("x-amz-bucket-region", "eu-west-1")])
        elif self.fault(".other"):
            self.error(307, "TemporaryRedirect", "Please go there.",
                       headers=[("Location", "http://other.example/")])
        else:
            return False
        return True

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
        path, _, query = self.url().partition("?")
        payload = headers["x-amz-content-sha256"]
        if not set(must) <= set(names) or parts["Signature"] != signature(
                self.command, path, query, headers, names, payload, date, region):
            return 403, "SignatureDoesNotMatch", "The signature does not match."
        if self.command == "PUT" and headers.get("content-md5") != base64.b64encode(
                hashlib.md5(body).digest()).decode():
            return 400, "BadDigest", "The Content-MD5 does not match."
        if hashlib.sha256(body).hexdigest() != payload:
            return 400, "XAmzContentSHA256Mismatch", "The checksum does not match."
        if region != "us-east-1":
            return 400, "AuthorizationHeaderMalformed", "The region is wrong.", \
                "<Region>us-east-1</Region>"
        if not path.replace("/behind/a/path", "", 1).startswith("/bucket/"):
            return 404, "NoSuchBucket", "The specified bucket does not exist."
        return None

    def url(self): # without the host, which a proxy is told
        parts = urllib.parse.urlsplit(self.path)
        return parts.path + ("?" + parts.query if parts.query else "")

    def place(self):
        path = self.url().replace("/behind/a/path", "", 1)
        return os.path.join(sys.argv[2], path[len("/bucket/"):].replace("/", "%2F"))

    def hold(self):
        hold, held = (os.path.join(sys.argv[2], name) for name in (".hold", ".held"))
        if os.path.exists(hold) and open(hold).read().strip() in self.place():
            os.rename(hold, held)
            while os.path.exists(held):
                time.sleep(0.05)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        why = self.refused(body)
        if self.goes_wrong():
            return
        if why:
            self.error(*why)
        elif self.fault(".quota") and not self.due(".quota"):
            self.error(403, "QuotaExceeded", "There is no room for more.")
        else:
            self.hold()
            meta = os.path.join(sys.argv[2], ".meta-" + os.path.basename(self.place()))
            with open(meta, "w") as f:
                f.write(self.headers["x-amz-meta-sha256"])
            with open(self.place() + ".new", "wb") as f:
                f.write(body)
            os.rename(self.place() + ".new", self.place())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def do_GET(self):
        why = self.refused(b"")
        if self.goes_wrong():
            return
        if why:
            self.error(*why)
        elif not os.path.exists(self.place()):
            self.error(404, "NoSuchKey", "The specified key does not exist.")
        else:
            body = open(self.place(), "rb").read()
            meta = os.path.join(sys.argv[2], ".meta-" + os.path.basename(self.place()))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-amz-meta-sha256", open(meta).read())
            self.end_headers()
            if self.command == "HEAD":
                return
            if self.due(".cut"):
                self.wfile.write(body[:len(body) // 2])
                self.close_connection = True
            else:
                self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        print(self.command, self.path, _[1:], flush=True)


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Store)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
