"""S3 over one connection that is kept: for the limits, and for objects that
are put there beside the programs."""
import datetime
import hashlib
import hmac
import http.client
import urllib.parse


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class S3:
    def __init__(self, env):
        url = urllib.parse.urlsplit(env["FSP_TEST_S3_ENDPOINT"])
        self.host = url.netloc
        self.region = env["FSP_TEST_S3_REGION"]
        self.access = env["FSP_TEST_S3_ACCESS_KEY"]
        self.secret = env["FSP_TEST_S3_SECRET_KEY"]
        self.connection = http.client.HTTPConnection(self.host, timeout=120)

    def headers(self, method, path, extra):
        now = datetime.datetime.utcnow()
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        h = {"host": self.host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
             "x-amz-date": stamp}
        signed = ";".join(sorted(h))
        canonical = "\n".join([method, path, "", "".join(
            "%s:%s\n" % (k, h[k]) for k in sorted(h)), signed, "UNSIGNED-PAYLOAD"])
        scope = "%s/%s/s3/aws4_request" % (day, self.region)
        key = ("AWS4" + self.secret).encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = _hmac(key, part)
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        h["authorization"] = (
            "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s"
            % (self.access, scope, signed, _hmac(key, text).hex()))
        h.update(extra)
        return h

    def answer(self, method, path, body, headers):
        """On a fresh connection where the gateway has closed the one that
        was idle for longer than it waits: every request here may be sent
        twice."""
        try:
            self.connection.request(method, path, body, headers)
            return self.connection.getresponse()
        except (ConnectionError, http.client.HTTPException):
            self.connection.close()
            self.connection.request(method, path, body, headers)
            return self.connection.getresponse()

    def request(self, method, path, body=None, **extra):
        path = "/" + urllib.parse.quote(path)
        headers = self.headers(method, path, {k.replace("_", "-"): v
                                              for k, v in extra.items()})
        answer = self.answer(method, path, body, headers)
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError("%s %s: %d %s" % (method, path, answer.status, data[:200]))
        return data

    def put(self, path, body, **extra):
        self.request("PUT", path, body, **extra)

    def get(self, path, **extra):
        return self.request("GET", path, **extra)

    def bucket(self, name):
        self.request("PUT", name, b"")
