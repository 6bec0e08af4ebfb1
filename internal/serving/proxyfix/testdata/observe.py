"""Writes what werkzeug's ProxyFix does with many requests, for observed_test.go.

Run by hand where werkzeug is installed (Debian: python3-werkzeug):

    python3 observe.py > werkzeug.json
"""

import importlib.metadata
import itertools
import json
import random
import sys

from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import create_environ
from werkzeug.wrappers import Request

NAMES = {
    "for": "HTTP_X_FORWARDED_FOR",
    "proto": "HTTP_X_FORWARDED_PROTO",
    "host": "HTTP_X_FORWARDED_HOST",
    "port": "HTTP_X_FORWARDED_PORT",
    "prefix": "HTTP_X_FORWARDED_PREFIX",
}


def observe(case):
    headers = {NAMES[k]: ",".join(lines) for k, lines in case["headers"].items()}
    environ = create_environ(
        environ_overrides={"REMOTE_ADDR": "192.0.2.1", "HTTP_HOST": case["host"], **headers}
    )
    seen = {}

    def app(environ, start_response):
        request = Request(environ)
        seen.update(
            client=request.remote_addr,
            scheme=environ["wsgi.url_scheme"],
            host=environ["HTTP_HOST"],
            prefix=environ.get("SCRIPT_NAME", ""),
        )
        return []

    hops = {f"x_{k}": case["hops"].get(k, 0) for k in NAMES}
    list(ProxyFix(app, **hops)(environ, lambda *_: None))
    return seen


def cases():
    one = {k: 1 for k in NAMES}
    fixed = [
        ("for", {"for": 1}, "spam", {"for": ["192.0.2.7"]}),
        ("no hops", {}, "spam", {"for": ["192.0.2.7"], "proto": ["https"], "host": ["eggs"], "port": ["1"], "prefix": ["/x"]}),
        ("multiple for", {"for": 2}, "spam", {"for": ["192.0.2.7, 192.0.2.8"]}),
        ("fewer than trusted", {"for": 3}, "spam", {"for": ["192.0.2.7, 192.0.2.8"]}),
        ("further left is not trusted", {"for": 1}, "spam", {"for": ["6.6.6.6, 192.0.2.7"]}),
        ("empty first", {"for": 2}, "spam", {"for": [", 192.0.2.7"]}),
        ("empty last", {"for": 1}, "spam", {"for": ["192.0.2.7,"]}),
        ("blank last", {"for": 1}, "spam", {"for": ["192.0.2.7, "]}),
        ("empty middle", {"for": 2}, "spam", {"for": ["192.0.2.7,,192.0.2.8"]}),
        ("empty middle, three", {"for": 3}, "spam", {"for": ["192.0.2.7,,192.0.2.8"]}),
        ("only commas", {"for": 1}, "spam", {"for": [",,"]}),
        ("lines are joined", {"for": 2}, "spam", {"for": ["192.0.2.7", "192.0.2.8"]}),
        ("lines with lists", {"for": 3}, "spam", {"for": ["192.0.2.7, 192.0.2.8", "192.0.2.9"]}),
        ("second line empty", {"for": 1}, "spam", {"for": ["192.0.2.7", ""]}),
        ("first line empty", {"for": 2}, "spam", {"for": ["", "192.0.2.7"]}),
        ("tabs", {"for": 1}, "spam", {"for": ["6.6.6.6,\t192.0.2.7\t"]}),
        ("quoted", {"for": 1}, "spam", {"for": ['"192.0.2.7"']}),
        ("quoted comma", {"for": 2}, "spam", {"for": ['192.0.2.7, "6.6.6.6, 192.0.2.8"']}),
        ("quote without end", {"for": 1}, "spam", {"for": ['192.0.2.7, "6.6.6.6, 192.0.2.8']}),
        ("escape in quotes", {"for": 1}, "spam", {"for": ['6.6.6.6, "192.0.2.\\7"']}),
        ("ipv6", {"for": 1}, "spam", {"for": ["2001:db8::7"]}),
        ("proto", {"proto": 1}, "spam", {"proto": ["https"]}),
        ("proto of two", {"proto": 1}, "spam", {"proto": ["http, https"]}),
        ("proto, two trusted", {"proto": 2}, "spam", {"proto": ["https, http"]}),
        ("host", {"host": 1}, "spam", {"host": ["eggs"]}),
        ("host with port", {"host": 1}, "spam:9000", {"host": ["eggs:8443"]}),
        ("host of two", {"host": 2}, "spam", {"host": ["eggs, ham"]}),
        ("ipv6 host", {"host": 1}, "spam", {"host": ["[2001:db8::a]"]}),
        ("ipv6 host with port", {"host": 1}, "spam", {"host": ["[2001:db8::a]:8443"]}),
        ("port, host without port", {"port": 1}, "spam", {"port": ["8080"]}),
        ("port, host with port", {"port": 1}, "spam:9000", {"port": ["8080"]}),
        ("port, ipv6 host without port", {"port": 1}, "[2001:db8::a]", {"port": ["8080"]}),
        ("port, ipv6 host with port", {"port": 1}, "[2001:db8::a]:9000", {"port": ["8080"]}),
        ("port replaces that of the forwarded host", {"host": 1, "port": 1}, "spam:9000", {"host": ["eggs:1"], "port": ["8080"]}),
        ("port of two", {"port": 1}, "spam", {"port": ["1, 8080"]}),
        ("prefix", {"prefix": 1}, "spam", {"prefix": ["/eggs"]}),
        ("prefix of two", {"for": 2, "prefix": 1}, "spam", {"for": ["192.0.2.7, 192.0.2.8"], "prefix": ["/ham, /eggs"]}),
        ("deep prefix", {"prefix": 1}, "spam", {"prefix": ["/a/b.c/d~e-f_g"]}),
        ("all", one, "spam:9000", {"for": ["192.0.2.7"], "proto": ["https"], "host": ["eggs"], "port": ["8443"], "prefix": ["/ham"]}),
        ("all, none given", one, "spam:9000", {}),
    ]
    for name, hops, host, headers in fixed:
        yield dict(name=name, hops=hops, host=host, headers=headers)
    # Every combination of how many are trusted and how many are given, with values
    # whose place in the list can be told.
    values = {
        "for": lambda i: f"192.0.2.{10 + i}",
        "proto": lambda i: "https" if i % 2 else "http",
        "host": lambda i: f"host{i}.example:{8000 + i}",
        "port": lambda i: str(9000 + i),
        "prefix": lambda i: f"/p{i}",
    }
    for key, trusted, given in itertools.product(NAMES, range(4), range(4)):
        yield dict(
            name=f"{key}: {trusted} trusted, {given} given", hops={key: trusted}, host="spam",
            headers={key: [", ".join(values[key](i) for i in range(given))]} if given else {},
        )
    # And mixtures.
    rand = random.Random(7)
    for n in range(200):
        headers, hops = {}, {}
        for key in NAMES:
            hops[key] = rand.randrange(4)
            lines = []
            for _ in range(rand.randrange(3)):
                items = [values[key](rand.randrange(9)) if rand.random() < 0.85 else "" for _ in range(rand.randrange(4))]
                lines.append(rand.choice([",", ", ", " , "]).join(items))
            if lines:
                headers[key] = lines
        yield dict(name=f"mixture {n}", hops=hops, host=rand.choice(["spam", "spam:9000", "[2001:db8::a]:9000"]), headers=headers)


out = [dict(case, observed=observe(case)) for case in cases()]
json.dump({"werkzeug": importlib.metadata.version("werkzeug"), "cases": out}, sys.stdout, separators=(",", ":"))
sys.stdout.write("\n")
