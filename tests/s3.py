"""A stand-in for S3, for tests: ``with S3StandIn() as s``; its buckets lie in memory.

Neither MinIO nor moto is in the locks or in Debian. This speaks to Arrow's real client what reading
asks of S3: ListObjectsV2 in pages, HeadBucket, HeadObject and GetObject with ranges. It looks at
the key that a request is signed with, not at the signature.

https://docs.aws.amazon.com/AmazonS3/latest/API/
"""

import datetime
import http.server
import threading
import urllib.parse
import xml.sax.saxutils

KEY, SECRET = "PLANTKEY", "secretplantsecret"
_PAGE = 3


class S3StandIn:
    """A server with one bucket, ``plant``.

    Attributes:
      objects: by key the bytes.
      changed: by key when it was last changed, seconds since the epoch; 0 if not here.
      fetched: by key how many bytes were fetched.
      url: the endpoint.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.changed: dict[str, int] = {}
        self.fetched: dict[str, int] = {}
        stand_in = self

        class Requests(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stand_in._answer(self)

            do_HEAD = do_GET  # noqa: N815 - http.server's name

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Requests)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "S3StandIn":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        url = urllib.parse.urlsplit(request.path)
        bucket, _, key = urllib.parse.unquote(url.path.lstrip("/")).partition("/")
        if f"AWS4-HMAC-SHA256 Credential={KEY}/" not in request.headers.get("Authorization", ""):
            self._send(request, 403, _error("InvalidAccessKeyId", "There is no such key."))
        elif bucket != "plant":
            self._send(request, 404, _error("NoSuchBucket", "There is no such bucket."))
        elif not key:
            query = dict(urllib.parse.parse_qsl(url.query))
            self._send(request, 200, self._list(query))
        elif key not in self.objects:
            self._send(request, 404, _error("NoSuchKey", "There is no such key."))
        else:
            self._object(request, key)

    def _object(self, request: http.server.BaseHTTPRequestHandler, key: str) -> None:
        data, status, told = self.objects[key], 200, {}
        total = len(data)
        if asked := request.headers.get("Range"):
            begin, end = (int(text) for text in asked.removeprefix("bytes=").split("-"))
            data, status = data[begin : end + 1], 206
            told = {"Content-Range": f"bytes {begin}-{begin + len(data) - 1}/{total}"}
        if request.command == "GET":
            self.fetched[key] = self.fetched.get(key, 0) + len(data)
        stamp = datetime.datetime.fromtimestamp(self.changed.get(key, 0), datetime.timezone.utc)
        told |= {"Last-Modified": stamp.strftime("%a, %d %b %Y %H:%M:%S GMT"), "ETag": '"0"'}
        self._send(request, status, data, told)

    def _list(self, query: dict[str, str]) -> bytes:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token", "")
        names = set()
        for key in (key for key in self.objects if key.startswith(prefix)):
            folder, found, _ = (
                key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            )
            names.add(prefix + folder + found if found else key)
        keys = sorted(name for name in names if name > after)
        page = keys[:_PAGE]
        told = [_tag("IsTruncated", str(len(keys) > _PAGE).lower())]
        if len(keys) > _PAGE:
            told.append(_tag("NextContinuationToken", page[-1]))
        for key in page:
            if key not in self.objects:
                told.append(f"<CommonPrefixes>{_tag('Prefix', key)}</CommonPrefixes>")
                continue
            stamp = datetime.datetime.fromtimestamp(self.changed.get(key, 0), datetime.timezone.utc)
            inner = _tag("Key", key) + _tag("Size", str(len(self.objects[key])))
            inner += _tag("LastModified", stamp.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
            told.append(f"<Contents>{inner}</Contents>")
        return f"<ListBucketResult>{''.join(told)}</ListBucketResult>".encode()

    def _send(
        self,
        request: http.server.BaseHTTPRequestHandler,
        status: int,
        data: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(data)


def _tag(name: str, text: str) -> str:
    return f"<{name}>{xml.sax.saxutils.escape(text)}</{name}>"


def _error(code: str, message: str) -> bytes:
    return f"<Error>{_tag('Code', code)}{_tag('Message', message)}</Error>".encode()
